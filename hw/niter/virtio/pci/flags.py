"""What is known of each function in a few bits."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS
from niter.virtio.queue.layouts import Fault

from .layouts import FunctionWork, LifecycleEvent

__all__ = ["FunctionFlags"]


class FunctionFlags(wiring.Component):
    """Gathers events of all functions; ``Lifecycle`` works them off.

    All functions begin as being reset, so that nothing is left of what stood in memories
    before. One bit a function on every port of eight.

    Parameters
    ----------
    functions
        How many.

    Members
    -------
    event, isr_read
        What drivers do; an event may come a cycle late.
    faults : In(stream.Signature(Fault))
        A driver broke the rules of the ring. Always accepted; ignored unless it is ready.
    changed : In(8)
        Device-specific configuration has changed.
    function_reset, function_reset_done
        As in ``FunctionPort``.
    work : In(FunctionWork)
        What is to be done for which function.
    needs_reset : Out(8)
        What device_status shows as DEVICE_NEEDS_RESET: after a fault (2.1.2), and while a
        reset goes on, so that it does not read as zero before that is done.
    isr : Out(8)
        Configuration interrupt bit of the ISR status.
    """

    event: In(LifecycleEvent)
    isr_read: In(MAX_FUNCTIONS)
    faults: In(stream.Signature(Fault))
    changed: In(MAX_FUNCTIONS)
    function_reset: In(MAX_FUNCTIONS)
    function_reset_done: Out(MAX_FUNCTIONS)
    work: In(FunctionWork)
    needs_reset: Out(MAX_FUNCTIONS)
    isr: Out(MAX_FUNCTIONS)

    def __init__(self, functions: int):
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += self.faults.ready.eq(1)
        event = self.event
        for function in range(self.functions):
            resetting = Signal(init=1, name=f"resetting_{function}")
            walk = Signal(init=1, name=f"walk_{function}")
            ready = Signal(name=f"ready_{function}")
            failed = Signal(name=f"failed_{function}")
            pending = Signal(name=f"pending_{function}")
            isr = Signal(name=f"isr_{function}")
            held = Signal(name=f"held_{function}")

            its = event.function == function
            hold = self.function_reset[function]
            reset = (its & event.reset) | (hold & ~held)
            # An event may have been on its way when a reset began.
            starts = its & event.start & ~resetting
            fault = self.faults.valid & (self.faults.payload.function == function) & ready

            m.d.sync += held.eq(hold)
            with m.If(self.work.walked[function]):
                m.d.sync += walk.eq(0)
            with m.If(starts | (its & event.service)):
                m.d.sync += walk.eq(1)
            with m.If(starts):
                m.d.sync += ready.eq(1)
            with m.If(self.work.interrupted[function]):
                m.d.sync += [pending.eq(0), isr.eq(1)]
            with m.Elif(self.isr_read[function]):
                m.d.sync += isr.eq(0)
            with m.If(fault):
                m.d.sync += failed.eq(1)
            with m.If(self.work.reset_over[function]):
                m.d.sync += [resetting.eq(0), failed.eq(0), isr.eq(0), pending.eq(0)]
            with m.If(fault | self.changed[function]):
                m.d.sync += pending.eq(1)
            with m.If(reset):
                m.d.sync += [resetting.eq(1), walk.eq(1), ready.eq(0)]

            m.d.comb += [
                self.function_reset_done[function].eq(held & hold & ~resetting),
                self.work.walk[function].eq(walk),
                self.work.interrupt[function].eq(pending & ready),
                self.work.resetting[function].eq(resetting),
                self.work.ready[function].eq(ready),
                self.needs_reset[function].eq(failed | resetting),
                self.isr[function].eq(isr),
            ]
        # Functions that do not exist are reset at once.
        for function in range(self.functions, MAX_FUNCTIONS):
            m.d.comb += self.function_reset_done[function].eq(self.function_reset[function])
        return m
