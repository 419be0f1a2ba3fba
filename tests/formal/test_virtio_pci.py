"""Proofs of the virtio transport's parts that face the PCIe room."""

from amaranth import Module, Signal
from amaranth.asserts import AnyConst, AnySeq
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.virtio.pci.access import RegisterAccess
from niter.virtio.pci.flags import FunctionFlags
from tests.formal.harness import drive, follow_stream, prove

FUNCTIONS = 2


class Access(Elaboratable):
    """Any requests, with everything behind the device answering in its own time.

    Every read gets exactly one reply, which holds while it is stalled. A write is taken
    within a bounded time though replies may be stalled for ever: the structure's accesses
    and the doorbells behind take at most ``SLOW`` cycles each here.
    """

    SLOW = 1
    BOUND = 2 * (5 + SLOW) + 1

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = RegisterAccess(queues=3)
        drive(m, dut.request)
        follow_stream(m, dut.reply)
        follow_stream(m, dut.doorbell)
        request = dut.request.payload
        m.d.comb += [
            Assume(~dut.request.valid | request.mask.any()),
            dut.reply.ready.eq(AnySeq(1)),
            dut.doorbell.ready.eq(AnySeq(1)),
            dut.common.done.eq(AnySeq(1)),
            dut.common.answer.eq(AnySeq(32)),
            dut.changed.eq(AnySeq(8)),
            dut.ready.eq(AnySeq(8)),
            dut.indexed.eq(AnyConst(8)),
            dut.isr.eq(AnySeq(8)),
        ]

        # The structure's access: done once, after its start, in time.
        busy = Signal()
        age = Signal(range(self.SLOW + 1))
        m.d.comb += [
            Assume(~dut.common.done | busy),
            Assume(~busy | (age != self.SLOW) | dut.common.done),
            Assert(~dut.common.start | ~busy),
        ]
        with m.If(dut.common.start):
            m.d.sync += [busy.eq(1), age.eq(0)]
        with m.Elif(busy):
            m.d.sync += [busy.eq(~dut.common.done), age.eq(age + 1)]
        rung = Signal(range(self.SLOW + 1))
        m.d.comb += Assume((rung != self.SLOW) | dut.doorbell.ready)
        m.d.sync += rung.eq(0)
        with m.If(dut.doorbell.valid & ~dut.doorbell.ready):
            m.d.sync += rung.eq(rung + 1)

        # Replies owed: one of a read that was taken, none otherwise.
        owed = Signal()
        taken = dut.request.valid & dut.request.ready & ~request.write
        replied = dut.reply.valid & dut.reply.ready
        m.d.sync += owed.eq((owed & ~replied) | taken)
        m.d.comb += [Assert(dut.reply.valid == owed), Assert(~taken | ~owed)]

        waited = Signal(range(self.BOUND + 2))
        with m.If(dut.request.valid & ~dut.request.ready & request.write):
            m.d.sync += waited.eq(waited + 1)
        with m.Else():
            m.d.sync += waited.eq(0)
        m.d.comb += Assert(waited <= self.BOUND)
        return m


class Flags(Elaboratable):
    """Any events: no function is ready while it is being reset, nor acknowledged before."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = FunctionFlags(FUNCTIONS)
        event = dut.event
        m.d.comb += [
            event.eq(AnySeq(len(event.as_value()))),
            dut.isr_read.eq(AnySeq(8)),
            dut.faults.valid.eq(AnySeq(1)),
            dut.faults.payload.function.eq(AnySeq(3)),
            dut.changed.eq(AnySeq(8)),
            dut.function_reset.eq(AnySeq(8)),
            dut.work.walked.eq(AnySeq(8)),
            dut.work.interrupted.eq(AnySeq(8)),
            dut.work.reset_over.eq(AnySeq(8)),
        ]
        for function in range(FUNCTIONS):
            resetting, ready = dut.work.resetting[function], dut.work.ready[function]
            walked = Signal(name=f"walked_{function}")
            m.d.comb += [
                # What the others promise: no start in a reset, and none is over before its walk.
                Assume(
                    ~(event.start & (event.function == function))
                    | ~(resetting | dut.function_reset[function])
                ),
                Assume(~dut.work.reset_over[function] | (resetting & walked)),
                Assert(~(resetting & ready)),
                Assert(~resetting | dut.needs_reset[function]),
                Assert(~dut.work.interrupt[function] | ready),
                Assert(
                    ~dut.function_reset_done[function]
                    | (dut.function_reset[function] & ~resetting & ~ready)
                ),
                Assert(~resetting | walked | dut.work.walk[function]),
            ]
            with m.If(dut.work.walked[function]):
                m.d.sync += walked.eq(1)
            with m.If(dut.work.reset_over[function] | ~resetting):
                m.d.sync += walked.eq(0)
        return m


def test_every_read_is_answered_once_and_writes_never_wait_for_replies():
    prove(Access(), depth=16)


def test_no_function_is_ready_or_acknowledged_in_a_reset():
    prove(Flags(), depth=8)
