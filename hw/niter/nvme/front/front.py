"""The front, put together."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import FunctionPort, HostRead, HostWrite, MailboxPort
from niter.nvme.command import CommandPort

from .access import RegisterAccess
from .completion import CompletionQueues
from .dispatcher import Dispatcher
from .entries import EntryStore
from .finisher import Finisher
from .layouts import Geometry
from .notices import Notices
from .shares import Shares
from .standing import Standing
from .steward import Steward
from .stopper import Stopper
from .submission import SubmissionQueues

__all__ = ["Front"]


class Front(wiring.Component):
    """Registers, doorbells and queues of up to eight NVMe controllers (Base 2.0).

    Everything about a queue stands in RAM, indexed by function and identifier; the logic exists
    once. The host enables, resets and shuts down controllers without the firmware, which is
    told; the firmware executes admin commands and creates I/O queues (see ``messages``).

    Parameters
    ----------
    functions
        Controllers, 1 to 8.
    queues
        Pairs of I/O queues that each may have, 1 to 16.
    entries
        Largest I/O queue, 2 to 4096: CAP.MQES.
    tags
        Commands that the engine carries out at once; functions have equal shares of them.
    tick
        Clock cycles in 100 us, the unit of interrupt coalescing.

    Members
    -------
    function : In(FunctionPort)
        From the PCIe room.
    read : Out(HostRead), write : Out(HostWrite)
        Rings and interrupts.
    mailbox : Out(MailboxPort)
        To the firmware.
    command : Out(CommandPort)
        To the engine.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    def __init__(
        self,
        functions: int = 2,
        queues: int = 4,
        entries: int = 1024,
        *,
        tags: int = 32,
        tick: int = 6250,
    ):
        if not 2 <= entries <= 4096:
            raise ValueError(f"A queue has 2 to 4096 entries, not {entries!r}")
        self.geometry = Geometry(functions, queues)
        self.entries = entries
        self.tags = tags
        self.tick = tick
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead),
                "write": Out(HostWrite),
                "mailbox": Out(MailboxPort),
                "command": Out(CommandPort),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.access = access = RegisterAccess(g, self.entries)
        m.submodules.standing = standing = Standing(g.functions)
        m.submodules.steward = steward = Steward(g)
        m.submodules.stopper = stopper = Stopper(g)
        m.submodules.submission = submission = SubmissionQueues(g)
        m.submodules.finisher = finisher = Finisher()
        m.submodules.completion = completion = CompletionQueues(g, self.tick)
        m.submodules.entries = entries = EntryStore()
        m.submodules.dispatcher = dispatcher = Dispatcher(g.functions, self.tags)
        m.submodules.notices = notices = Notices(g.functions)
        m.submodules.shares = shares = Shares(g.functions, max(1, self.tags // g.functions))
        mailbox, engine = self.mailbox, self.command

        # Registers and doorbells.
        connect(m, flipped(self.function.request), access.request)
        connect(m, access.reply, flipped(self.function.reply))
        connect(m, access.submission, submission.doorbell)
        connect(m, access.completion, completion.doorbell)
        connect(m, steward.registers, access.port)
        for of_access, status in zip(access.status, standing.status, strict=True):
            m.d.comb += of_access.eq(status)

        # The life of a function.
        connect(m, steward.standing, standing.port)
        m.d.comb += [
            access.fresh.eq(self.function.reset),
            standing.enable.eq(access.enable),
            standing.disabled.eq(access.disabled),
            standing.shutdown.eq(access.shutdown),
            standing.fatal.eq(submission.fatal),
            standing.function_reset.eq(self.function.reset),
            self.function.reset_done.eq(standing.function_reset_done),
            mailbox.reset.eq(standing.mailbox_reset),
            standing.mailbox_reset_done.eq(mailbox.reset_done),
        ]
        connect(m, steward.stop, stopper.job)
        m.d.comb += steward.found.eq(stopper.found)

        # Whoever works on rows: the stopper, or the steward, which waits for it.
        for rows, source in (
            (submission.port, (steward.submission, stopper.submission)),
            (completion.port, (steward.completion, stopper.completion)),
        ):
            for port in source:
                m.d.comb += port.loaded.eq(rows.loaded)
            with m.If(stopper.job.valid):
                m.d.comb += [
                    rows.command.payload.eq(source[1].command.payload),
                    rows.command.valid.eq(source[1].command.valid),
                    source[1].command.ready.eq(rows.command.ready),
                ]
            with m.Else():
                m.d.comb += [
                    rows.command.payload.eq(source[0].command.payload),
                    rows.command.valid.eq(source[0].command.valid),
                    source[0].command.ready.eq(rows.command.ready),
                ]

        # Entries in.
        may_ask = mailbox.credit & ~standing.mute
        m.d.comb += [
            submission.running.eq(standing.running),
            submission.live.eq(standing.live),
            submission.room.eq(entries.room),
            submission.admissible.eq(entries.admissible & may_ask),
            submission.granted.eq(completion.granted),
            entries.asked.eq(submission.asked),
            entries.context.eq(submission.read.payload.context),
        ]
        connect(m, submission.claim, completion.claim)
        connect(m, submission.read, flipped(self.read.command))
        connect(m, flipped(self.read.answer), entries.answer)
        connect(m, entries.arrival, submission.arrival)

        m.d.comb += [
            shares.asked.eq(submission.asked),
            shares.context.eq(submission.read.payload.context),
            shares.completed.eq(dispatcher.completed),
            shares.completed_of.eq(engine.completion.payload.function),
            shares.settled.eq(stopper.settled),
            shares.settled_of.eq(stopper.job.payload.function),
            shares.function.eq(submission.function),
            submission.left.eq(shares.left),
        ]

        # Entries on to the engine and the firmware.
        connect(m, dispatcher.entries, entries.port)
        connect(m, dispatcher.notices, notices.port)
        connect(m, dispatcher.entry, flipped(engine.entry))
        connect(m, dispatcher.request, flipped(mailbox.request))
        connect(m, stopper.purge, dispatcher.purge)
        connect(m, stopper.cancel, flipped(engine.cancel))
        connect(m, flipped(engine.cancelled), stopper.cancelled)
        connect(m, flipped(mailbox.reply), steward.reply)
        m.d.comb += [
            dispatcher.credit.eq(mailbox.credit),
            dispatcher.mute.eq(standing.mute),
            dispatcher.settled.eq(stopper.settled),
            dispatcher.completed.eq(engine.completion.valid & engine.completion.ready),
            stopper.settling.eq(~engine.completion.valid | engine.completion.ready),
            stopper.quiet.eq(completion.quiet),
        ]

        # Completions back.
        connect(m, flipped(engine.completion), finisher.done[0])
        connect(m, steward.done, finisher.done[1])
        connect(m, submission.finisher, finisher.port)
        connect(m, finisher.post, completion.post)
        connect(m, completion.write, flipped(self.write))
        m.d.comb += completion.running.eq(standing.running)

        m.d.comb += [
            notices.stopped.eq(standing.stopped),
            notices.started.eq(standing.started),
            notices.shutdown.eq(standing.shut),
            notices.fatal.eq(submission.fatal),
            notices.invalid_register.eq(
                (access.invalid | submission.invalid_register | completion.invalid_register)
                & standing.live
            ),
            notices.invalid_value.eq(submission.invalid_value | completion.invalid_value),
        ]
        return m
