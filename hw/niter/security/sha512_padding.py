"""From the bytes of a message to the blocks of SHA-384 and SHA-512."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BlockWord", "Piece", "Sha512Padding"]


class Piece(data.Struct):
    """Up to eight bytes of a message.

    Members
    -------
    data : 64 bits
        Byte lanes, lane 0 (bits 7:0) first, as in a packet's beat.
    bytes : 4 bits
        How many of them count: 8, or 0 to 8 in the last piece.
    last : 1 bit
        The message ends here.
    long : 1 bit
        SHA-512 is wanted, otherwise SHA-384; the same on every piece of a message.
    """

    data: 64
    bytes: 4
    last: 1
    long: 1


class BlockWord(data.Struct):
    """One of the sixteen words of a block.

    Members
    -------
    data : 64 bits
        The word as the standard counts its bits: the first byte is the most significant.
    first, last : 1 bit
        First and last word of the message.
    long : 1 bit
        As in :class:`Piece`.
    """

    data: 64
    first: 1
    last: 1
    long: 1


class Sha512Padding(wiring.Component):
    """Pads a message (FIPS 180-4, 5.1.2): a one bit, zeros, and the length in bits.

    No latency; a piece a cycle, and after the last one the words that fill its block up. The
    length counts modulo 2**32 bytes: no longer message may be given.

    Members
    -------
    i : In(stream.Signature(Piece))
        The message.
    o : Out(stream.Signature(BlockWord))
        Whole blocks.
    """

    i: In(stream.Signature(Piece))
    o: Out(stream.Signature(BlockWord))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        piece, word = self.i.payload, self.o.payload
        index = Signal(4)
        whole = Signal(29)
        first = Signal(init=1)
        long = Signal()
        # Filling up: the one bit is still to come; the tail's bytes; this block has room for
        # the length.
        filling = Signal()
        mark_due = Signal()
        tail = Signal(3)
        room = Signal()

        marked = Signal(64)
        for lane in range(8):
            source = piece.data.word_select(lane, 8)
            here = Mux(piece.bytes > lane, source, Mux(piece.bytes == lane, 0x80, 0))
            m.d.comb += marked.word_select(7 - lane, 8).eq(here)
        length_here = room & (index == 15)
        m.d.comb += [
            self.o.valid.eq(filling | self.i.valid),
            self.i.ready.eq(~filling & self.o.ready),
            word.first.eq(first),
            word.last.eq(filling & length_here),
            word.long.eq(Mux(filling, long, piece.long)),
            word.data.eq(marked),
        ]
        with m.If(filling):
            m.d.comb += word.data.eq(
                Mux(length_here, Cat(C(0, 3), tail, whole), Mux(mark_due, 1 << 63, 0))
            )
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [index.eq(index + 1), first.eq(word.last)]
            with m.If(filling):
                # The length takes words 14 and 15; its upper half is always zero.
                m.d.sync += [mark_due.eq(0), filling.eq(~word.last)]
                m.d.sync += room.eq(room | (index == 15) | (mark_due & (index < 14)))
                with m.If(word.last):
                    m.d.sync += [room.eq(0), whole.eq(0)]
            with m.Else():
                m.d.sync += [
                    filling.eq(piece.last),
                    tail.eq(piece.bytes),
                    whole.eq(whole + piece.bytes[3]),
                    mark_due.eq(piece.bytes[3]),
                    long.eq(piece.long),
                    room.eq(piece.last & ~piece.bytes[3] & (index != 14)),
                ]
        return m
