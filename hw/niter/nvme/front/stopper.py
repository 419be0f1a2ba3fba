"""Stops commands: one, those of a queue, or those of a function."""

from amaranth import Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.nvme.command import Cancel, Cancelled

from .layouts import Geometry, Purge, RowOperation, RowPort, SubmissionUse, Word

__all__ = ["Scope", "Stop", "Stopper"]


class Scope(enum.Enum, shape=2):
    """How much is stopped."""

    COMMAND = 0
    QUEUE = 1
    FUNCTION = 2


class Stop(data.Struct):
    """What to stop; ``queue`` is zero for a function, ``cid`` counts for a command."""

    scope: Scope
    function: 3
    queue: 5
    cid: 16


class Stopper(wiring.Component):
    """Stops fetching, forgets what was fetched, cancels at the engine, and settles the accounts.

    A queue that is stopped is gone; the room that its commands had claimed is given back. Of a
    function all queues are gone, also the admin queues and the completion queues.

    Parameters
    ----------
    geometry
        Size of the front.

    Members
    -------
    job : In(stream.Signature(Stop))
        Accepted when it is done; of a function, when it has no host memory command outstanding.
    found : Out(1)
        Valid when a job is accepted: the command was stopped, and will not be completed.
    submission, completion : Out(RowPort)
    purge : Out(stream.Signature(Purge)), cancel : Out(stream.Signature(Cancel))
    cancelled : In(stream.Signature(Cancelled))
    settling : In(1)
        The completion queues have all completions that the engine has offered so far.
    settled : Out(12)
        So many commands of the engine are no longer under way; a cycle late, and before the job is
        accepted.
    quiet : In(1)
        No completion entry waits for host memory.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "job": In(stream.Signature(Stop)),
                "found": Out(1),
                "submission": Out(RowPort),
                "completion": Out(RowPort),
                "purge": Out(stream.Signature(Purge)),
                "cancel": Out(stream.Signature(Cancel)),
                "cancelled": In(stream.Signature(Cancelled)),
                "settling": In(1),
                "settled": Out(12),
                "quiet": In(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        job = self.job.payload
        submission, completion = self.submission.command, self.completion.command
        queue = Signal(5)
        use = Signal(SubmissionUse)
        is_function = job.scope == Scope.FUNCTION
        m.d.comb += [
            self.purge.payload.function.eq(job.function),
            self.purge.payload.queue.eq(queue),
            self.cancel.payload.function.eq(job.function),
            self.cancel.payload.queue.eq(queue),
            self.cancel.payload.cid.eq(job.cid),
            self.cancel.payload.every.eq(job.scope != Scope.COMMAND),
            completion.payload.word.eq(Word.POINTERS),
            completion.payload.queue.eq(queue),
        ]
        for command in (submission, completion):
            m.d.comb += [
                command.payload.operation.eq(RowOperation.STORE),
                command.payload.function.eq(job.function),
            ]
        m.d.comb += [submission.payload.queue.eq(queue), submission.payload.word.eq(Word.POINTERS)]
        with m.If(~is_function):
            m.d.comb += [
                completion.payload.operation.eq(RowOperation.RELEASE),
                completion.payload.queue.eq(use.partner),
                completion.payload.data.eq(use.outstanding),
            ]

        m.d.sync += self.settled.eq(0)

        def pass_on(offer, following):
            m.d.comb += offer.valid.eq(1)
            with m.If(offer.ready):
                m.next = following

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += queue.eq(job.queue)
                with m.If(self.job.valid):
                    m.next = "HALT"
                    with m.If(job.scope == Scope.COMMAND):
                        m.next = "CANCEL"
            with m.State("HALT"):
                # Behind this nothing of the queue is asked for; of a function, which does not run
                # any more, nothing at all.
                pass_on(submission, "PURGE")
            with m.State("PURGE"):
                pass_on(self.purge, "CANCEL")
            with m.State("CANCEL"):
                pass_on(self.cancel, "CANCELLED")
            with m.State("CANCELLED"):
                m.d.comb += self.cancelled.ready.eq(self.settling)
                with m.If(self.cancelled.valid & self.settling):
                    m.d.sync += self.found.eq(self.cancelled.payload.found)
                    m.next = "LOAD"
                    with m.If(job.scope == Scope.COMMAND):
                        m.d.sync += self.settled.eq(self.cancelled.payload.found)
                        m.next = "END"

            with m.State("LOAD"):
                m.d.comb += [
                    submission.payload.operation.eq(RowOperation.LOAD),
                    submission.payload.word.eq(Word.USE),
                ]
                m.d.sync += use.eq(self.submission.loaded)
                pass_on(submission, "FORGET")
            with m.State("FORGET"):
                m.d.comb += submission.payload.word.eq(Word.USE)
                pass_on(submission, "REMOVE")
            with m.State("REMOVE"):
                pass_on(submission, "RELEASE")
            with m.State("RELEASE"):
                pass_on(completion, "END")
                with m.If(completion.ready):
                    # Admin commands are not the engine's.
                    with m.If(queue != 0):
                        m.d.sync += self.settled.eq(use.outstanding)
                    with m.If(is_function & (queue != self.geometry.queues)):
                        m.d.sync += queue.eq(queue + 1)
                        m.next = "LOAD"
            with m.State("END"), m.If(self.quiet | ~is_function):
                m.d.comb += self.job.ready.eq(1)
                m.next = "IDLE"
        return m
