"""Proofs of the queue engine's index arithmetic and of its port's ordering."""

from amaranth import Module, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.virtio.queue.geometry import Geometry
from niter.virtio.queue.messages import AccessKind
from niter.virtio.queue.port import RingPort
from niter.virtio.queue.usage import beyond, moved
from tests.formal.harness import drive, follow_stream, prove


class Interrupt(Elaboratable):
    """An interrupt is due exactly when the awaited entry is one of those that were added."""

    def elaborate(self, platform):
        m = Module()
        told, added, event = AnyConst(16), AnyConst(16), AnyConst(16)
        visible = Signal(16)
        ahead = Signal(16)
        m.d.comb += [
            visible.eq(told + added),
            # Place of the awaited entry, counted from the first that was added.
            ahead.eq(event - told),
            Assert((beyond(event, visible) < moved(told, visible)) == (ahead < added)),
        ]
        return m


def test_interrupt_is_due_for_the_awaited_entry():
    prove(Interrupt(), depth=2)


class Port(Elaboratable):
    """Free accesses of two sources, without runs, and a host that stalls as it likes."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = RingPort(Geometry(1), 2)
        reads, writes, commands, beats, asked = (
            Signal(4, name=name) for name in ("reads", "writes", "commands", "beats", "asked")
        )
        for i in dut.i:
            drive(m, i)
            write = i.p.kind == AccessKind.WRITE
            read = i.p.kind == AccessKind.READ_INDEX
            m.d.comb += Assume(read | write)
            with m.If(i.valid & i.ready & write):
                m.d.sync += writes.eq(writes + 1)
            with m.If(i.valid & i.ready & read):
                m.d.sync += reads.eq(reads + 1)
        outputs = ((dut.command, asked), (dut.write.command, commands), (dut.write.data, beats))
        for stream, count in outputs:
            m.d.comb += stream.ready.eq(AnySeq(1))
            follow_stream(m, stream)
            with m.If(stream.valid & stream.ready):
                m.d.sync += count.eq(count + 1)

        # A read appears when no write is left; then it may stand while writes pass.
        stood = Signal()
        m.d.sync += stood.eq(dut.command.valid & ~dut.command.ready)
        with m.If(dut.command.valid & ~stood):
            m.d.comb += Assert(~dut.write.command.valid & ~dut.write.data.valid)
        with m.If(dut.quiet):
            m.d.comb += Assert((writes == commands) & (writes == beats))
        m.d.comb += [
            Assert((writes - commands)[:4] < 2),
            Assert((writes - beats)[:4] < 2),
            Assert((reads - asked)[:4] < 3),
        ]
        return m


def test_port_keeps_reads_behind_writes():
    prove(Port(), depth=14)
