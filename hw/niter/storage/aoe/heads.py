"""The memory that frames' headers are made from, word by word as they stand on the wire.

::

    kind  index   word
    0     target  0: address, bytes 0 to 3;  1: bytes 4 and 5, and our port;  2: shelf and slot
    1     order   0: tag;  1: the ATA header's first four bytes;  2, 3: LBA
    2     0       0: tag of control's question;  1, 2: its argument
    2     1       0: EtherType, version 1
    2     2, 3    of port n, at 2 n: the card's address, bytes 0 and 1 in lanes 2 and 3;  2 to 5

A word of control's is a number as people write it, first byte highest; it stands here in the order
of the wire. Bits 35:32 of an order's words say what is no part of a header.
"""

from amaranth import Cat, Module, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .codec import ETHERTYPE

__all__ = ["HEAD_BITS", "PLACES", "HeadAddress", "HeadKind", "HeadWord", "Heads", "swapped"]

#: Of a word: four bytes, and four bits beside them.
HEAD_BITS = 36

#: Where the words of index 0 to 3 of kind ``OWN`` stand.
PLACES = {"question": 0, "ethertype": 1, "sources": 2}


class HeadKind(enum.Enum, shape=2):
    """What a word belongs to."""

    RECORD = 0
    ORDER = 1
    OWN = 2


class HeadAddress(data.Struct):
    """Where a word stands."""

    word: 2
    index: 4
    kind: HeadKind


class HeadWord(data.Struct):
    """A word, and where to put it."""

    at: HeadAddress
    data: HEAD_BITS


def swapped(word: Value) -> Value:
    """Four bytes, last first."""
    return Cat(*(word.word_select(n, 8) for n in reversed(range(4))))


class Heads(wiring.Component):
    """Keeps the words: control's, which it takes at any time, and those of orders.

    Members
    -------
    control_en, control_at, control_data : In
        A word of control's, first byte highest.
    order : In(stream.Signature(HeadWord))
        A word of an order; it waits while control writes.
    at : In(HeadAddress)
        What is read.
    word : Out(36)
        It, a cycle later.
    """

    control_en: In(1)
    control_at: In(HeadAddress)
    control_data: In(32)
    order: In(stream.Signature(HeadWord))
    at: In(HeadAddress)
    word: Out(HEAD_BITS)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        words = [0] * (1 << HeadAddress.as_shape().size)
        constant = {"word": 0, "index": PLACES["ethertype"], "kind": HeadKind.OWN}
        octets = ETHERTYPE.to_bytes(2, "big") + bytes([1 << 4, 0])
        words[HeadAddress.const(constant).as_bits()] = int.from_bytes(octets, "little")
        m.submodules.words = memory = Ram(shape=HEAD_BITS, depth=len(words), init=words)
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(self.at),
            self.word.eq(read.data),
            self.order.ready.eq(~self.control_en),
            write.en.eq(self.control_en | self.order.valid),
            write.addr.eq(self.order.payload.at),
            write.data.eq(self.order.payload.data),
        ]
        with m.If(self.control_en):
            m.d.comb += [
                write.addr.eq(self.control_at),
                write.data.eq(swapped(self.control_data)),
            ]
        return m
