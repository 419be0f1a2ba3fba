"""The block contract: how a front end reaches blocks that are somewhere else.

A front end (the NVMe controller, virtio-blk) issues requests; a transport carries them out.
Between the two stand stages, each with this contract on both sides: volumes, encryption. The
host's memory is the only data buffer, so data moves when the transport asks for it. A sector
has 512 bytes, whatever format the host sees. The rules:

1. Every request is answered by exactly one completion of its tag, after the last byte of its
   data was accepted. A tag is in use from its request to its completion, or to the
   acknowledgement of its abort.
2. The transport *pulls* what a WRITE carries and *pushes* what a READ returns, by tag, first
   sector and number of sectors: whole sectors, in any order, at most ``MAX_SPAN_SECTORS`` at
   once. It may pull the same sectors again (to retransmit) until it completes the request, and
   pushes each exactly once.
3. A pull is answered by one packet of exactly that many bytes, in the order of the pulls. It
   ends with ``error`` and may be short when the host's memory could not be read; the transport
   then sends nothing of it and completes the request with ``DATA_TRANSFER``.
4. A push is followed by one packet of exactly that many bytes, in the order of the pushes. The
   front end always takes it, also when the host's memory refuses it. A packet that ends with
   ``error`` is not to be trusted, and the transport completes that request with an error.
5. ``abort`` names a tag. ``aborted`` acknowledges it in bounded time, whatever the target does:
   from then on there is no pull, push or completion of that tag, and it is free. A completion
   may cross the abort; the acknowledgement comes all the same, behind it.
6. Neither side waits for the other in a circle: completions, pushes and acknowledgements are
   taken without waiting for a request to be accepted.
7. Requests and aborts are accepted in bounded time, whatever the target does, since what is on
   offer cannot be taken back: who cannot begin a request yet keeps it. An abort is behind the
   requests that were accepted before it.
"""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .packet import PacketStream

__all__ = [
    "MAX_SPAN_SECTORS",
    "SECTOR_BYTES",
    "BlockCompletion",
    "BlockOpcode",
    "BlockPort",
    "BlockRequest",
    "BlockSpan",
    "BlockStatus",
]

#: Bytes of a sector, the unit of addresses and lengths.
SECTOR_BYTES = 512

#: Most sectors of one pull or push: 8 KiB, what a jumbo frame carries.
MAX_SPAN_SECTORS = 16


class BlockOpcode(enum.Enum, shape=3):
    """What a request asks for."""

    READ = 0
    WRITE = 1
    #: All that was completed before is on stable storage; no sectors.
    FLUSH = 2
    #: The sectors read as zero from now on; no data moves.
    WRITE_ZEROES = 3
    #: The sectors are no longer needed; a hint.
    DISCARD = 4
    #: The sectors are read and checked at the target; no data moves.
    VERIFY = 5


class BlockStatus(enum.Enum, shape=4):
    """How a request ended."""

    OK = 0
    #: Outside of the volume; nothing has left the card.
    OUT_OF_RANGE = 1
    #: The volume may only be read.
    READ_ONLY = 2
    #: No such volume, or it is detached.
    NO_VOLUME = 3
    #: The target does not do that.
    UNSUPPORTED = 4
    #: The target could not read or write the medium.
    MEDIUM = 5
    #: The target could not be reached; trying again may help.
    PATH = 6
    #: The target has fenced this initiator off.
    RESERVED = 7
    #: The host's memory could not be read or written.
    DATA_TRANSFER = 8
    #: A fault of the card itself, such as a missing key.
    INTERNAL = 9


class BlockRequest(data.Struct):
    """One command on one volume.

    Members
    -------
    tag : 8 bits
        Chosen by the front end among those that are free.
    volume : 4 bits
        Index into the card's volumes.
    opcode : BlockOpcode
    fua : 1 bit
        With WRITE: complete it when it is on stable storage.
    lba : 56 bits
        First sector, counted from the start of the volume.
    sectors : 16 bits
        At least 1; not looked at with FLUSH.
    """

    tag: 8
    volume: 4
    opcode: BlockOpcode
    fua: 1
    lba: 56
    sectors: 16


class BlockCompletion(data.Struct):
    """The end of a request."""

    tag: 8
    status: BlockStatus


class BlockSpan(data.Struct):
    """Sectors of a request: ``first`` counts from its first sector; 1 to 16 of them."""

    tag: 8
    first: 16
    sectors: 5


#: Signature of a block port, seen from the front end.
BlockPort = wiring.Signature(
    {
        "request": Out(stream.Signature(BlockRequest)),
        "completion": In(stream.Signature(BlockCompletion)),
        "pull": In(stream.Signature(BlockSpan)),
        "pull_data": Out(PacketStream),
        "push": In(stream.Signature(BlockSpan)),
        "push_data": In(PacketStream),
        "abort": Out(stream.Signature(8)),
        "aborted": In(stream.Signature(8)),
    }
)
