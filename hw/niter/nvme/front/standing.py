"""How each controller stands: a few bits of it, and what is to be done next."""

from amaranth import Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .registers import Status

__all__ = ["Job", "Outcome", "Standing", "StandingPort"]


class Job(enum.Enum, shape=3):
    """What is to be done for a function."""

    NONE = 0
    #: Its controller is to be reset: stop its queues.
    STOP = 1
    #: The mailbox has forgotten it.
    FINISH = 2
    #: CC.EN is set: check the registers and create the admin queues.
    ENABLE = 3
    #: Stop its queues; the host has asked for a shutdown.
    SHUTDOWN = 4


class Outcome(enum.Enum, shape=3):
    """What was done; see ``Job``."""

    NONE = 0
    STARTED = 1
    #: The registers were wrong, or the firmware asks for it: fatal status.
    FAILED = 2
    STOPPED = 3
    FINISHED = 4
    SHUT = 5


#: The steward's way to the controllers: of ``function`` it sees the next job, whether the function
#: itself is being reset, and whether its controller is enabled; it reports an outcome for it.
StandingPort = wiring.Signature(
    {
        "function": Out(3),
        "job": In(Job),
        "resetting": In(1),
        "running": In(1),
        "outcome": Out(Outcome),
    }
)


class Standing(wiring.Component):
    """Follows CC.EN, CC.SHN, resets and errors of each function.

    A reset, by CC.EN or of the function, has two jobs: ``STOP``, and when the mailbox has done
    its part, ``FINISH``. CSTS.RDY falls, and a function's reset is acknowledged, only then.

    Parameters
    ----------
    functions
        How many.

    Members
    -------
    enable : In(8)
        CC.EN.
    disabled, shutdown, fatal : In(8)
        Pulses: CC.EN was cleared, a shutdown was asked for, an entry could not be read.
    function_reset : In(8), function_reset_done : Out(8)
        See ``FunctionPort``.
    mailbox_reset : Out(8), mailbox_reset_done : In(8)
        See ``MailboxPort``.
    port : In(StandingPort)
    status : Out(Status), an array
        CSTS.
    running : Out(8)
        Enabled: completions are posted and doorbells are taken.
    live : Out(8)
        Running, without fatal error or shutdown: entries are fetched.
    mute : Out(8)
        Nothing may be sent to the mailbox.
    stopped, started, shut : Out(8)
        Pulses for the notices.
    """

    def __init__(self, functions: int):
        self.functions = functions
        inputs = ("enable", "disabled", "shutdown", "fatal", "function_reset", "mailbox_reset_done")
        outputs = ("function_reset_done", "mailbox_reset", "running", "live", "mute")
        pulses = ("stopped", "started", "shut")
        super().__init__(
            {name: In(MAX_FUNCTIONS) for name in inputs}
            | {name: Out(MAX_FUNCTIONS) for name in outputs + pulses}
            | {"port": In(StandingPort), "status": Out(Status).array(functions)}
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        dropping = Signal(MAX_FUNCTIONS)
        for f, status in enumerate(self.status):
            reset, done = self.function_reset[f], self.function_reset_done[f]
            refreshing, refreshed = self.mailbox_reset[f], self.mailbox_reset_done[f]
            mine = self.port.function == f
            due = reset & ~done | dropping[f]
            m.d.comb += [
                self.running[f].eq(status.ready & ~dropping[f] & ~reset),
                self.live[f].eq(
                    self.running[f] & ~status.fatal & ~status.occurring & ~status.complete
                ),
                self.mute[f].eq(due | refreshing | refreshed),
            ]
            m.d.sync += done.eq(done & reset)

            with m.If(mine):
                m.d.comb += [self.port.resetting.eq(reset), self.port.running.eq(self.running[f])]
                with m.If(refreshing | refreshed), m.If(refreshing & refreshed):
                    m.d.comb += self.port.job.eq(Job.FINISH)
                with m.Elif(due):
                    m.d.comb += self.port.job.eq(Job.STOP)
                with m.Elif(~reset & status.occurring):
                    m.d.comb += self.port.job.eq(Job.SHUTDOWN)
                with m.Elif(~reset & self.enable[f] & ~status.ready & ~status.fatal):
                    m.d.comb += self.port.job.eq(Job.ENABLE)

            with m.If(self.shutdown[f] & ~status.complete):
                m.d.sync += status.occurring.eq(1)
            with m.If(self.fatal[f]):
                m.d.sync += status.fatal.eq(1)
            with m.If(mine), m.Switch(self.port.outcome):
                with m.Case(Outcome.STARTED):
                    m.d.comb += self.started[f].eq(1)
                    m.d.sync += [status.ready.eq(1), status.complete.eq(0)]
                with m.Case(Outcome.FAILED):
                    m.d.sync += status.fatal.eq(1)
                with m.Case(Outcome.STOPPED):
                    m.d.sync += refreshing.eq(1)
                with m.Case(Outcome.FINISHED):
                    m.d.comb += self.stopped[f].eq(1)
                    m.d.sync += [
                        status.eq(0),
                        refreshing.eq(0),
                        dropping[f].eq(0),
                        done.eq(reset),
                    ]
                with m.Case(Outcome.SHUT):
                    m.d.comb += self.shut[f].eq(1)
                    m.d.sync += [status.occurring.eq(0), status.complete.eq(1)]
            with m.If(self.disabled[f]):
                m.d.sync += dropping[f].eq(1)
        return m
