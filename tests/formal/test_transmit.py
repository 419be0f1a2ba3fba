"""Proof: the transmit arbiter never interleaves TLPs and never overdraws a credit."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Assert, Assume, Cat, Const, Elaboratable, Module, Mux, Signal

from niter.pcie.tl.header import TlpCommon, TlpType, swap_dwords
from niter.pcie.tl.layouts import Credits
from niter.pcie.tl.transmit import TransmitArbiter

from .harness import follow_packets, prove

KINDS = {
    "i_posted": "posted",
    "i_nonposted": "nonposted",
    "i_completion": "completion",
    "i_message": "posted",
}


class Arbitration(Elaboratable):
    """Free sources, and a link partner that grants what it likes."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = TransmitArbiter()
        m.d.comb += [dut.up.eq(1), dut.o.ready.eq(AnySeq(1)), dut.infinite.eq(0)]

        # Each source's TLPs are of its class and as long as they like, a beat at a time; all
        # beats carry the source's number at the top.
        for number, (name, kind) in enumerate(KINDS.items()):
            port = getattr(dut, name)
            inside = Signal(name=f"{name}_inside")
            with m.If(port.valid & port.ready):
                m.d.sync += inside.eq(~port.payload.last)
            common = Signal(TlpCommon, name=f"{name}_common")
            m.d.comb += [
                common.type.eq(TlpType.COMPLETION if kind == "completion" else TlpType.MEMORY),
                common.fmt.eq(0b001 if kind == "nonposted" else 0b010),
                common.length.eq(AnySeq(5 if name == "i_posted" else 3)),
                port.valid.eq(AnySeq(1)),
                port.payload.last.eq(AnySeq(1)),
                port.payload.data.eq(Cat(swap_dwords(common), Const(number << 30, 32))),
                Assume(inside | ~port.payload.last),
                Assume((common.length != 0) & ((common.length <= 4) | (name == "i_posted"))),
            ]
            follow_packets(m, port, rule=Assume)

        # The partner's limits grow by one at a time and start from nothing.
        limit = Signal(Credits)
        used = Signal(Credits)
        m.d.comb += dut.limit.eq(limit)
        for name in Credits.as_shape().members:
            m.d.sync += limit[name].eq(limit[name] + (AnySeq(1) << (4 if "data" in name else 0)))

        follow_packets(m, dut.o)
        sent = Signal()
        begun = Signal()
        source = Signal(2)
        beat = dut.o.payload
        common = TlpCommon(swap_dwords(beat.data[:32]))
        m.d.comb += sent.eq(dut.o.valid & dut.o.ready)
        with m.If(sent):
            m.d.sync += begun.eq(~beat.last)
            with m.If(~begun):
                m.d.sync += source.eq(beat.data[62:])
            with m.Else():
                m.d.comb += Assert(beat.data[62:] == source)
        for kind in ("posted", "nonposted", "completion"):
            if kind == "completion":
                mine = common.type == TlpType.COMPLETION
            else:
                mine = (common.type == TlpType.MEMORY) & (common.fmt[1] == (kind == "posted"))
            header, data = f"{kind}_header", f"{kind}_data"
            cost = Mux(common.fmt[1], (common.length + 3) >> 2, 0)
            with m.If(dut.o.valid & ~begun & mine):
                m.d.comb += [
                    Assert(used[header] < limit[header]),
                    Assert(used[data] + cost <= limit[data]),
                ]
            with m.If(sent & ~begun & mine):
                m.d.sync += [
                    used[header].eq(used[header] + 1),
                    used[data].eq(used[data] + cost),
                ]
        return m


def test_the_arbiter_sends_whole_tlps_within_its_credits():
    prove(Arbitration(), depth=9)
