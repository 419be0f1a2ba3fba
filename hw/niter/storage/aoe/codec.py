"""What AoE frames look like, and what the parts of the initiator tell each other about them.

::

    beat  0  destination 6, source 6 ...
          1  ... source, 88 A2, version and flags, error
          2  shelf 2, slot 1, command 1, tag 4
          3  ATA: flags, feature or error, sectors, command or status, LBA 4 ...
             Config: buffers 2, firmware 2, sectors 1, version and command 1, length 2
             Reserve: command 1, addresses 1, address 6
          4  ATA: ... LBA 2, reserved 2, first half word of the data

All is big-endian but the LBA (AoEr11, sections 2 and 3). A tag of this initiator is a generation,
new for each transmission, above the number of the slot that waits for its answer.
"""

from amaranth.lib import data, enum

from niter.interface import BlockStatus

__all__ = [
    "BAD_STATUS",
    "COMMAND_ATA",
    "ETHERTYPE",
    "FRAME_SECTORS",
    "GENERATION_BITS",
    "HAS_TARGET",
    "HEADER_BYTES",
    "ORDERS",
    "QUERY",
    "RECEIVE_UNIT",
    "SLOT_BITS",
    "Answer",
    "AoeError",
    "AtaCommand",
    "AtaFlag",
    "Ending",
    "TargetRecord",
    "Verdict",
]

ETHERTYPE = 0x88A2

#: Bytes of an ATA frame in front of its data, with Ethernet's own.
HEADER_BYTES = 36

#: The most sectors that a frame carries.
FRAME_SECTORS = 16

#: In the transport's table of volumes, beside a target's number: the volume has one.
HAS_TARGET = 1 << 4

#: Command in the AoE header.
COMMAND_ATA = 0

#: Error, device fault, data still asked for, busy: any of these, and the command has failed.
BAD_STATUS = 0xA9

#: Bits of a tag: generation, then a byte with the slot, or with this bit for control's queries.
GENERATION_BITS = 24
SLOT_BITS = 6
QUERY = 1 << 7

#: Orders that wait: enough for the host's memory to answer the pulls of some while one is sent.
ORDERS = 16

#: Beats in which room for answers is counted: one for a header, eight for a sector.
RECEIVE_UNIT = 8


class AtaCommand(enum.IntEnum):
    """ATA commands that the initiator sends."""

    READ_EXT = 0x24
    WRITE_EXT = 0x34
    FLUSH = 0xE7


class AtaFlag(enum.IntEnum):
    """Bits of the ATA header's first byte."""

    WRITE = 0x01
    EXTENDED = 0x40


class AoeError(enum.IntEnum):
    """Why a target refuses a command (AoEr11, section 2.4)."""

    UNKNOWN_COMMAND = 1
    BAD_ARGUMENT = 2
    UNAVAILABLE = 3
    CONFIG_SET = 4
    UNSUPPORTED_VERSION = 5
    RESERVED = 6


class TargetRecord:
    """Where the words of a target's record stand in the target table.

    ``FLAGS`` is written last: writing it also forgets what was learnt of the way to the target.
    """

    #: Words from one target's record to the next.
    STRIDE = 4
    #: The address of the target's port: its first four bytes, then its last two in bits 31:16
    #: with our port to it in bits 1:0. The other bits are zero.
    MAC_HIGH = 0
    MAC_LOW = 1
    #: Shelf in bits 31:16, slot in bits 15:8; the other bits are zero.
    PLACE = 2
    #: Frames that it may have to do at once in bits 6:0, sectors of a frame in bits 12:8, and
    #: the flags below.
    FLAGS = 3
    ENABLED = 1 << 16
    #: Nothing is sent to it, for as long as control needs to fence a path off.
    PAUSED = 1 << 17

    @classmethod
    def words(
        cls, mac: int, shelf: int, slot: int, sectors: int, buffers: int, flags: int, port: int = 0
    ) -> list[int]:
        """A record, in the order in which its words are written."""
        limits = flags | sectors << 8 | buffers
        return [mac >> 16, (mac & 0xFFFF) << 16 | port, shelf << 16 | slot << 8, limits]


class Answer(data.Struct):
    """What a target's frame says.

    Members
    -------
    slot, generation : 6 and 24 bits
        Its tag.
    status : BlockStatus
        What it means for the request.
    sectors : 5 bits
        Of its data; 31 for a length that is no number of sectors.
    """

    slot: SLOT_BITS
    generation: GENERATION_BITS
    status: BlockStatus
    sectors: 5


class Verdict(data.Struct):
    """What is to become of an answer.

    Members
    -------
    push : 1 bit
        Its data goes to the front end, for request ``tag`` from sector ``first`` on.
    counts : 1 bit
        It is to the slot's present frame; an ``Ending`` says what that is for the request.
    """

    tag: 8
    first: 16
    sectors: 5
    push: 1
    counts: 1


class Ending(data.Struct):
    """What an answer is for its request. It comes later than the verdict, whose data meanwhile
    moves.

    Members
    -------
    complete, status : 1 bit, BlockStatus
        With it the request ends like this.
    """

    complete: 1
    status: BlockStatus
