"""Is a received TLP as long as its header says?"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat

from .classify import Stage
from .header import TlpCommon, swap_dwords

__all__ = ["LengthFollower"]


class LengthFollower(wiring.Component):
    """Counts a TLP's doublewords as it passes the first two stages of the receiver.

    A digest is not checked and counts as not being there. All outputs belong to the beat in the
    third stage.
    """

    #: The pipeline moves.
    go: In(1)
    #: The first and the second stage.
    beat_1: In(Beat)
    stage_1: In(Stage)
    beat_2: In(Beat)
    stage_2: In(Stage)
    #: In the last beat of content or of the TLP: it is not as long as it should be, or was
    #: nullified.
    damaged: Out(1)
    #: The last beat without the digest, and its unused bytes divided by four.
    content_last: Out(1)
    empty: Out(1)
    #: A beat behind the content.
    swallow: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        common = TlpCommon(swap_dwords(self.beat_1.data[:32]))
        has_data = common.fmt[1]
        #: Doublewords from the beat in the second stage on, digest included.
        left = Signal(12)
        digest, over = Signal(), Signal()
        with m.If(self.go & self.stage_1.valid):
            with m.If(self.stage_1.first):
                payload = Mux(has_data, common.length, 0)
                four, beside = common.fmt[0], Signal(3)
                with m.Switch(Cat(four, common.digest)):
                    with m.Case(0b00):
                        m.d.comb += beside.eq(3)
                    with m.Case(0b11):
                        m.d.comb += beside.eq(5)
                    with m.Default():
                        m.d.comb += beside.eq(4)
                m.d.sync += [
                    left.eq(payload + beside),
                    digest.eq(common.digest),
                ]
            with m.Elif(~over):
                m.d.sync += left.eq(left - 2)
            with m.Else():
                # Longer than it should be: nothing is left, and nothing fits that.
                m.d.sync += left.eq(0)
        ends = (left == 2) & (self.beat_2.empty == 0) | (left == 1) & (self.beat_2.empty == 4)
        wrong = Signal()
        m.d.comb += [
            over.eq((left[2:] == 0) & (left[:2] != 3)),
            wrong.eq(Mux(self.stage_2.last, ~ends | self.beat_2.error, over)),
        ]
        # With one doubleword of digest in a beat of its own, the content ends a beat earlier.
        early = Signal()
        m.d.comb += early.eq(digest & (left == 3) & ~self.stage_2.last)
        digest_wrong = ~self.beat_1.last | (self.beat_1.empty != 4) | self.beat_1.error
        was_bad, done = Signal(), Signal()
        with m.If(self.go):
            bad = wrong | (was_bad & ~self.stage_2.first)
            finished = done & ~self.stage_2.first
            m.d.sync += [
                was_bad.eq(bad),
                done.eq(finished | over | early | self.stage_2.last),
                self.damaged.eq(bad | (early & digest_wrong)),
                self.content_last.eq(~finished & (over | early | self.stage_2.last)),
                self.empty.eq((left == 1) | (digest & (left == 2))),
                self.swallow.eq(finished),
            ]
        return m
