"""Moving bytes between the lanes of a packet and the lanes of an address."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES

__all__ = ["LaneShifter"]


class LaneShifter(wiring.Component):
    """Moves a run of words up by a number of byte lanes, one word a cycle.

    Byte lane *n* of a word goes to lane *n* + ``rotate``, or, past the top, to the lanes
    below ``rotate`` in the word after it. ``o`` belongs to the word given three cycles of
    ``enable`` earlier: its lanes from ``rotate`` up are of that word, those below of the
    word before. It is combinational from registers; the caller registers it.
    """

    #: The pipeline moves.
    enable: In(1)
    #: A word, and how far its run is to be moved.
    i: In(64)
    rotate: In(3)
    #: The word's halves are to be exchanged before.
    swapped: In(1)
    #: The moved word.
    o: Out(64)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # A multiplexer of two inputs before each register: that is the smallest rotator.
        word, rotate = self.i, self.rotate
        for bit in (2, 1, 0):
            turned = Signal(64, name=f"turned_{bit}")
            turned_rotate = Signal(3, name=f"rotate_{bit}")
            turn = rotate[bit] ^ self.swapped if bit == 2 else rotate[bit]
            with m.If(self.enable):
                m.d.sync += [
                    turned.eq(Mux(turn, word.rotate_left(8 << bit), word)),
                    turned_rotate.eq(rotate),
                ]
            word, rotate = turned, turned_rotate
        before = Signal(64)
        with m.If(self.enable):
            m.d.sync += before.eq(word)
        m.d.comb += self.o.eq(
            Cat(
                Mux(rotate > lane, before.word_select(lane, 8), word.word_select(lane, 8))
                for lane in range(BEAT_BYTES)
            )
        )
        return m
