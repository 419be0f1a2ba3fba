"""Moving bytes between the lanes of a packet and the lanes of an address."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES

__all__ = ["LaneShifter"]


class LaneShifter(wiring.Component):
    """Moves a run of words up by a number of byte lanes, one word a cycle.

    Byte lane *n* of a word goes to lane *n* + ``rotate``, or, past the top, to the lanes
    below ``rotate`` in the word after it. ``o`` belongs to the word given two cycles of
    ``enable`` earlier: its lanes from ``rotate`` up are of that word, those below of the
    word before. It is combinational from two registers; the caller registers it.
    """

    #: The pipeline moves.
    enable: In(1)
    #: A word, and how far its run is to be moved.
    i: In(64)
    rotate: In(3)
    #: The moved word.
    o: Out(64)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        halved = Signal(64)
        halved_rotate = Signal(3)
        turned = Signal(64)
        turned_rotate = Signal(3)
        before = Signal(64)

        with m.If(self.enable):
            m.d.sync += [
                halved.eq(Mux(self.rotate[2], self.i.rotate_left(32), self.i)),
                halved_rotate.eq(self.rotate),
                turned_rotate.eq(halved_rotate),
                before.eq(turned),
            ]
            with m.Switch(halved_rotate[:2]):
                for lanes in range(4):
                    with m.Case(lanes):
                        m.d.sync += turned.eq(halved.rotate_left(8 * lanes))
        m.d.comb += self.o.eq(
            Cat(
                Mux(turned_rotate > lane, before.word_select(lane, 8), turned.word_select(lane, 8))
                for lane in range(BEAT_BYTES)
            )
        )
        return m
