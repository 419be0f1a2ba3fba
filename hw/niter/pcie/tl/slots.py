"""The read buffer's geometry, and what is known of each slot of it.

The buffer has 32 slots of 128 bytes, one for each tag. A slot mirrors one naturally
aligned block of host memory: byte *n* of the block stands at byte *n* of the slot. A read
request never asks for more than what one block holds, so it respects every legal
Max_Read_Request_Size (128 bytes at least) and never crosses a 4 KiB boundary; and a
completion's Lower Address is its place in the slot.

Each port owns a run of slots and uses it as a ring. Of a ring one slot stays unused: the
last word of a block is needed once more when the next block of the same command follows.
"""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Value
from amaranth.lib import data
from amaranth.utils import exact_log2

__all__ = ["SLOTS", "SLOT_BYTES", "Done", "Opening", "SlotInfo", "SlotMap"]

#: Number of slots: tags that a requester may use without Extended Tag Field Enable.
SLOTS = 32

#: Bytes in a slot.
SLOT_BYTES = 128

_UNITS = 4


class Opening(data.Struct):
    """A request is about to be sent.

    Members
    -------
    tag : 5 bits
    phase : 1 bit
        What the slot's *done* bit becomes when it is answered; alternates on each use.
    function : 3 bits
    dwords : 6 bits
        Doublewords asked for, 1 to 32.
    spare : 2 bits
        Bytes of the last doubleword that are not wanted.
    lower : 7 bits
        Address of the first byte, modulo 128.
    void : 1 bit
        Nothing is sent: the slot fails at once.
    """

    tag: 5
    phase: 1
    function: 3
    dwords: 6
    spare: 2
    lower: 7
    void: 1


class Done(data.Struct):
    """A slot is answered when ``phase`` is that of its present use."""

    phase: 1
    error: 1


class SlotInfo(data.Struct):
    """How to turn a slot into a part of an answer.

    Members
    -------
    start : 4 bits
        First word of the slot that holds wanted bytes.
    beats : 5 bits
        Beats that the answer grows by, 0 to 17.
    rotate : 3 bits
        Lanes that the bytes move up, modulo 8; the same for all slots of a command.
    ahead : 1 bit
        The first beat begins with bytes of the word before it.
    first, last : 1 bit
        Of the command's slots.
    empty : 3 bits
        Of the last beat, with ``last``.
    context : 16 bits
        Of the command.
    """

    start: 4
    beats: 5
    rotate: 3
    ahead: 1
    first: 1
    last: 1
    empty: 3
    context: 16


class SlotMap:
    """Which slots belong to which port.

    Parameters
    ----------
    shares
        Quarters of the buffer that each port gets: 1, 2 or 4.

    Attributes
    ----------
    sizes
        Slots of each port.
    bases
        First slot of each port.

    Raises
    ------
    ValueError
        There is no port, or the shares are not powers of two, or more than four in all.
    """

    def __init__(self, shares: Sequence[int]):
        shares = tuple(shares)
        if not shares or any(share not in (1, 2, 4) for share in shares) or sum(shares) > _UNITS:
            raise ValueError(f"Shares are 1, 2 or 4, at most 4 in all, not {shares!r}")
        self.sizes = tuple(share * SLOTS // _UNITS for share in shares)
        self.bases = [0] * len(shares)
        base = 0
        for port in sorted(range(len(shares)), key=lambda port: -shares[port]):
            self.bases[port] = base
            base += self.sizes[port]

    def pointer_bits(self, port: int) -> int:
        """Width of a pointer into a port's ring: the place, and how often it went round."""
        return self.sizes[port].bit_length()

    def tag(self, port: int, pointer: Value) -> Value:
        """Slot that a pointer of ``port`` names."""
        bits = self.pointer_bits(port) - 1
        return Cat(pointer[:bits], Const(self.bases[port] >> bits, 5 - bits))

    def port(self, tag: Value) -> Value:
        """Port to which a slot belongs; any for a slot that belongs to none."""
        unit = SLOTS // _UNITS
        number = tag[exact_log2(unit) :]
        owners = [0] * _UNITS
        for port, (base, size) in enumerate(zip(self.bases, self.sizes, strict=True)):
            for slot in range(base, base + size, unit):
                owners[slot // unit] = port
        return Array(Const(owner, range(len(self.sizes))) for owner in owners)[number]

    def before(self, port: int, tag: Value) -> Value:
        """Slot that precedes ``tag`` in the ring of ``port``."""
        bits = self.pointer_bits(port) - 1
        return Cat((tag[:bits] - 1)[:bits], tag[bits:5])

    def phase(self, port: int, pointer: Value) -> Value:
        """Value of the *done* bit that says that the slot, in this round, is answered."""
        return ~pointer[self.pointer_bits(port) - 1]
