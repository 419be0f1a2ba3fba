"""The life of controllers and queues: enable, reset, shutdown, and what the firmware asks for."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MessageBeat
from niter.nvme.command import Completion

from .access import RegisterPort
from .layouts import (
    Base,
    Coalescing,
    Geometry,
    RowOperation,
    RowPort,
    SubmissionPointers,
    SubmissionUse,
    Word,
)
from .messages import Reply, ReplyKind
from .registers import Configuration, Register, acceptable
from .standing import Job, Outcome, StandingPort
from .stopper import Scope, Stop

__all__ = ["ABORT_REQUESTED", "Steward"]

#: Generic command status Command Abort Requested (Base 2.0, figure 94).
ABORT_REQUESTED = 0x07

#: What follows each word when a queue is created; its pointers make it exist.
_CREATION = {
    Word.HIGH: Word.BASE,
    Word.BASE: Word.USE,
    Word.USE: Word.COALESCING,
    Word.COALESCING: Word.WAITING,
    Word.WAITING: Word.POINTERS,
}


def _words(layout: type[data.Struct]) -> list[data.StructLayout]:
    """The beats of a message."""
    beats: list[dict] = []
    for name, field in data.Layout.cast(layout):
        if field.offset % 64 == 0:
            beats.append({})
        beats[-1][name] = field.shape
    return [data.StructLayout(beat) for beat in beats]


class Steward(wiring.Component):
    """Does one thing after the other: a function's next job, or a reply of the firmware.

    All of it takes bounded time: a few microseconds, and what host memory needs for what is under
    way. The mailbox's part of a reset is not waited for: replies are taken meanwhile.

    Parameters
    ----------
    geometry
        Size of the front.

    Members
    -------
    standing : Out(StandingPort), registers : Out(RegisterPort)
    submission, completion : Out(RowPort)
        To create queues.
    stop : Out(stream.Signature(Stop)), found : In(1)
        To ``Stopper``.
    done : Out(stream.Signature(Completion))
        Completions of admin commands, and of commands that were aborted.
    reply : In(stream.Signature(MessageBeat))
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "standing": Out(StandingPort),
                "registers": Out(RegisterPort),
                "submission": Out(RowPort),
                "completion": Out(RowPort),
                "stop": Out(stream.Signature(Stop)),
                "found": In(1),
                "done": Out(stream.Signature(Completion)),
                "reply": In(stream.Signature(MessageBeat)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        standing, registers = self.standing, self.registers
        beat, header = self.reply.payload.packet, self.reply.payload.header
        parameters, _, ending = _words(Reply)
        function, job = Signal(3), Signal(Job)
        #: The first beat of a reply, or what stands for it when a controller is enabled.
        asked = Signal(parameters)
        end = data.View(ending, beat.data)
        enabling, is_submission, alone, aborted = Signal(), Signal(), Signal(), Signal()
        word, half = Signal(Word), Signal(32)
        stop, done = self.stop.payload, self.done.payload
        m.d.comb += [
            standing.function.eq(function),
            registers.function.eq(function),
            stop.function.eq(function),
            stop.queue.eq(asked.queue),
            stop.cid.eq(asked.cid),
            done.function.eq(function),
        ]

        # Words of a new queue.
        content = Signal(32)
        base, pointers = data.View(Base, content), data.View(SubmissionPointers, content)
        use, coalescing = data.View(SubmissionUse, content), data.View(Coalescing, content)
        with m.Switch(word):
            with m.Case(Word.HIGH):
                m.d.comb += content.eq(half)
            with m.Case(Word.BASE):
                m.d.comb += [base.last.eq(asked.last), base.page.eq(half[12:])]
            with m.Case(Word.USE):
                m.d.comb += use.partner.eq(asked.partner)
            with m.Case(Word.COALESCING):
                m.d.comb += [
                    coalescing.threshold.eq(asked.threshold),
                    coalescing.time.eq(asked.time),
                ]
            with m.Case(Word.POINTERS):
                m.d.comb += pointers.active.eq(~alone)
        for port in (self.submission, self.completion):
            m.d.comb += [
                port.command.payload.operation.eq(RowOperation.STORE),
                port.command.payload.function.eq(function),
                port.command.payload.queue.eq(asked.queue),
                port.command.payload.word.eq(word),
                port.command.payload.data.eq(content),
            ]

        def report(outcome, following):
            m.d.comb += standing.outcome.eq(outcome)
            m.next = following

        def read(register, following):
            m.d.comb += registers.word.eq(register)
            with m.If(registers.grant):
                m.next = following

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [job.eq(standing.job), enabling.eq(0), alone.eq(0), aborted.eq(0)]
                with m.Switch(standing.job):
                    with m.Case(Job.STOP, Job.SHUTDOWN):
                        m.d.sync += asked.queue.eq(0)
                        m.next = "STOP FUNCTION"
                    with m.Case(Job.FINISH):
                        m.d.sync += half.eq(Register.CC)
                        m.next = "CLEAR"
                    with m.Case(Job.ENABLE):
                        m.d.sync += [enabling.eq(1), is_submission.eq(0), asked.eq(0)]
                        m.next = "CONFIGURATION"
                    with m.Default():
                        m.d.comb += self.reply.ready.eq(1)
                        m.next = "NEXT"
                        with m.If(self.reply.valid):
                            m.d.sync += [function.eq(header.function), asked.eq(beat.data)]
                            m.next = "IDLE"
                            with m.If(~beat.last):
                                m.next = "REPLY"
            with m.State("NEXT"):
                m.d.sync += function.eq(
                    Mux(function == self.geometry.functions - 1, 0, function + 1)
                )
                m.next = "IDLE"

            # A function is reset or shut down.
            with m.State("STOP FUNCTION"):
                m.d.comb += [self.stop.valid.eq(1), stop.scope.eq(Scope.FUNCTION)]
                with m.If(self.stop.ready):
                    report(Mux(job == Job.STOP, Outcome.STOPPED, Outcome.SHUT), "NEXT")
            with m.State("CLEAR"):
                # The registers behind CC are zero or return to it.
                m.d.comb += [registers.word.eq(half), registers.clear.eq(standing.resetting)]
                with m.If(registers.grant):
                    m.d.sync += half[:5].eq(half[:5] + 1)
                    with m.If((half[:5] == Register.ACQ_HIGH) | ~standing.resetting):
                        report(Outcome.FINISHED, "NEXT")

            # A controller is enabled.
            with m.State("CONFIGURATION"):
                read(Register.CC, "CHECK")
            with m.State("CHECK"):
                m.next = "ATTRIBUTES"
                with m.If(~acceptable(data.View(Configuration, registers.data))):
                    report(Outcome.FAILED, "NEXT")
            with m.State("ATTRIBUTES"):
                read(Register.AQA, "SIZE")
            with m.State("SIZE"):
                last = registers.data.word_select(~is_submission, 16)[:12]
                m.d.sync += [asked.last.eq(last), word.eq(Word.HIGH)]
                m.next = "ADDRESS"
                with m.If(last == 0):
                    report(Outcome.FAILED, "NEXT")

            # A queue is created, or one word of it changed.
            with m.State("ADDRESS"):
                high = word == Word.HIGH
                with m.If(enabling):
                    admin = Mux(is_submission, Register.ASQ.value, Register.ACQ.value)
                    read(admin + high, "LATCH")
                with m.Else():
                    m.d.sync += half.eq(beat.data.word_select(high, 32))
                    m.next = "STORE"
            with m.State("LATCH"):
                m.d.sync += half.eq(registers.data)
                m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += [
                    self.submission.command.valid.eq(is_submission),
                    self.completion.command.valid.eq(~is_submission),
                ]
                with m.If(
                    Mux(is_submission, self.submission.command.ready, self.completion.command.ready)
                ):
                    with m.Switch(word):
                        for this, following in _CREATION.items():
                            with m.Case(this):
                                m.d.sync += word.eq(following)
                                m.next = "ADDRESS" if following == Word.BASE else "STORE"
                    with m.If(alone | (word == Word.POINTERS)):
                        m.next = "PASS"
                        with m.If(enabling):
                            m.d.sync += is_submission.eq(1)
                            m.next = "ATTRIBUTES"
                            with m.If(is_submission):
                                report(Outcome.STARTED, "NEXT")

            # The firmware has replied: the second beat is here or on its way.
            with m.State("REPLY"), m.If(self.reply.valid):
                m.d.sync += [is_submission.eq(0), word.eq(Word.HIGH)]
                m.next = "PASS"
                with m.If(beat.last | ~standing.running):
                    m.next = "SKIP"
                with m.Else(), m.Switch(header.kind):
                    with m.Case(ReplyKind.CREATE_CQ):
                        m.next = "ADDRESS"
                    with m.Case(ReplyKind.CREATE_SQ):
                        m.d.sync += is_submission.eq(1)
                        m.next = "ADDRESS"
                    with m.Case(ReplyKind.DELETE_CQ):
                        m.d.sync += [alone.eq(1), word.eq(Word.POINTERS)]
                        m.next = "STORE"
                    with m.Case(ReplyKind.COALESCE):
                        m.d.sync += [alone.eq(1), word.eq(Word.COALESCING)]
                        m.next = "STORE"
                    with m.Case(ReplyKind.DELETE_SQ, ReplyKind.ABORT):
                        m.next = "STOP"
                    with m.Case(ReplyKind.FAIL):
                        report(Outcome.FAILED, "PASS")
            with m.State("STOP"):
                is_abort = header.kind == ReplyKind.ABORT
                m.d.comb += [
                    self.stop.valid.eq(1),
                    stop.scope.eq(Mux(is_abort, Scope.COMMAND, Scope.QUEUE)),
                ]
                with m.If(self.stop.ready):
                    m.next = "PASS"
                    with m.If(is_abort & self.found):
                        m.next = "ABORTED"
            with m.State("ABORTED"):
                m.d.sync += aborted.eq(1)
                m.d.comb += [
                    self.done.valid.eq(1),
                    done.queue.eq(asked.queue),
                    done.cid.eq(asked.cid),
                    done.status.eq(ABORT_REQUESTED),
                ]
                with m.If(self.done.ready):
                    m.next = "PASS"
            with m.State("PASS"):
                m.d.comb += self.reply.ready.eq(1)
                m.next = "COMPLETE"
            with m.State("COMPLETE"), m.If(self.reply.valid):
                m.d.comb += [
                    self.done.valid.eq(end.silent == 0),
                    done.cid.eq(header.tag),
                    done.status.eq(end.status),
                    done.result.eq(end.result),
                ]
                # An abort that was carried out says so in bit 0.
                with m.If(aborted):
                    m.d.comb += done.result[0].eq(0)
                with m.If(self.done.ready | ~self.done.valid):
                    m.next = "SKIP"
            with m.State("SKIP"):
                m.d.comb += self.reply.ready.eq(1)
                with m.If(self.reply.valid & beat.last):
                    m.next = "NEXT"
        return m
