"""Proofs of the answering half of the transaction layer."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Cover, Elaboratable
from amaranth.lib.data import View

from niter.interface import Bar, Function, Msix
from niter.pcie.tl.msix import MsixTable
from niter.pcie.tl.receiver import Receiver
from niter.pcie.tl.requests import PostedEntry
from tests.formal.harness import drive, follow_packets, follow_stream, prove


class _Received(Elaboratable):
    """A receiver that is sent anything."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Receiver()
        drive(m, dut.i, packets=True)
        m.d.comb += [
            dut.o.ready.eq(AnySeq(1)),
            dut.target.eq(AnySeq(6)),
            dut.large_payload.eq(AnyConst(1)),
        ]
        follow_packets(m, dut.o)

        # What a posted request takes of its queue is covered by the credits that it has taken.
        entries, credits = Signal(8), Signal(8)
        head = View(PostedEntry, dut.entry.data[: PostedEntry.as_shape().size])
        posted = dut.entry_write & ~dut.entry_nonposted
        now = Signal(8)
        granted = Signal(8)
        m.d.comb += [
            now.eq(entries + dut.entry_write),
            granted.eq(Mux(posted & (entries == 0), (head.length + 3) >> 2, credits)),
        ]
        m.d.sync += [entries.eq(now), credits.eq(granted)]
        with m.If(dut.entry_commit | dut.entry_discard):
            m.d.sync += entries.eq(0)
        with m.If(dut.entry_commit & ~dut.entry_nonposted):
            m.d.comb += Assert((now >= 1) & (now <= 2 + 2 * granted))
        with m.If(dut.entry_commit & dut.entry_nonposted):
            m.d.comb += Assert(now == 2)
        m.d.comb += [
            Assert(~(dut.entry_commit & dut.entry_discard)),
            Assert(~(dut.entry_commit & dut.malformed)),
        ]
        return m


def test_receiver_keeps_within_credits():
    prove(_Received(), depth=9)


class _Pending(Elaboratable):
    """An MSI-X table of which the solver masks and raises one vector as and when it likes.

    Parameters
    ----------
    quiet
        Cycles without events after which nothing may be owed any more.
    cover
        Look for a vector that is masked, raised, unmasked and sent instead.
    """

    def __init__(self, quiet: int, cover: bool = False):
        self.quiet = quiet
        self.cover = cover

    def elaborate(self, platform):
        m = Module()
        declared = Function(1, 2, 3, 4, 5, 6, bars=(Bar(0, 4096),), msix=Msix(2, 0, 0, 0x800))
        m.submodules.dut = dut = MsixTable([declared])
        watched = AnyConst(1)
        raise_, mask = AnySeq(1), AnySeq(1)
        drive(m, dut.i_access)
        access = dut.i_access.payload
        m.d.comb += [
            # Rows are zero at first, so vectors start unmasked.
            dut.i.valid.eq(raise_),
            dut.i.payload.vector.eq(watched),
            dut.enable.eq(1),
            dut.mask.eq(mask),
            dut.o.ready.eq(AnySeq(1)),
            dut.o_reply.ready.eq(1),
            # Accesses that matter: they write the watched vector's control.
            Assume((access.function == 0) & ~access.pending_bits & access.write),
            Assume((access.word == Cat(1, watched)) & (access.enables == 0b10)),
            Assume(access.data == Cat(Const(0, 32), access.data[32])),
        ]
        follow_stream(m, dut.i, rule=Assume)

        masked = Signal()
        raised, sent = Signal(), Signal()
        with m.If(dut.i_access.valid & dut.i_access.ready):
            m.d.sync += masked.eq(access.data[32])
        m.d.comb += [
            raised.eq(dut.i.valid & dut.i.ready),
            sent.eq(dut.o.valid & dut.o.ready),
        ]
        # Two of each are enough to get in each other's way, and keep the search short.
        for event in (raised, dut.i_access.valid & dut.i_access.ready):
            times = Signal(2)
            m.d.sync += times.eq(times + event)
            m.d.comb += Assume(~event | (times < 2))
        owed, quiet_for = Signal(), Signal(range(self.quiet + 1))
        with m.If(raised):
            m.d.sync += owed.eq(1)
        with m.Elif(sent):
            m.d.sync += owed.eq(0)
        m.d.comb += Assert(~sent | owed)
        still = ~raised & ~dut.i_access.valid & ~mask & dut.o.ready & ~masked
        with m.If(~still):
            m.d.sync += quiet_for.eq(0)
        with m.Elif(quiet_for != self.quiet):
            m.d.sync += quiet_for.eq(quiet_for + 1)
        if self.cover:
            was_masked = Signal()
            with m.If(raised & masked):
                m.d.sync += was_masked.eq(1)
            m.d.comb += Cover(was_masked & sent)
        else:
            m.d.comb += Assert(~owed | (quiet_for != self.quiet))
        return m


def test_pending_interrupt_is_never_lost():
    prove(_Pending(14), depth=21)


def test_pending_interrupt_is_reached():
    prove(_Pending(14, cover=True), depth=24, mode="cover")
