"""The control queue of virtio-net: multiqueue in hardware, all else by way of the firmware."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import (
    BEAT_BYTES,
    MAX_FUNCTIONS,
    HostRead,
    HostWrite,
    MailboxPort,
    WriteKind,
)
from niter.virtio.queue.layouts import Segment, Used

from .command import CommandReader
from .courier import Courier
from .intake import Intake, Part, Place, Summary
from .messages import COMMAND_BYTES, PAIRS_BYTES, Answer, PairsCommand
from .turns import PATIENCE, Turns

__all__ = ["Control"]

#: Class VIRTIO_NET_CTRL_MQ, whose one command here is VQ_PAIRS_SET.
_MQ = 4
#: Shortest command: class and command.
_SHORTEST = 2


class _Job(enum.Enum, shape=2):
    """What is to be done with a chain."""

    EXECUTE = 0
    #: Its answer is known.
    ANSWER = 1
    #: Nobody waits for an answer.
    RETURN = 2


class Control(wiring.Component):
    """Carries out VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, and hands other commands to the firmware.

    A command is a chain whose device-readable bytes are class, command and data, and whose
    first writable byte takes the answer (virtio 1.2, 5.1.6.5), in any arrangement of up to 15
    readable segments. One command is read at a time, at a read of host memory for each of its
    segments; chains are taken whatever goes on here, for the engine lets none of a function begin
    while there is one.

    A command that is not of class MQ is sent to the mailbox as
    ``niter.virtio.net.messages`` has it, and its chain waits for the reply while commands of other
    functions are carried out. VIRTIO_NET_ERR is the answer without it for a command of fewer than
    two bytes or too many segments, or that cannot be read; when the mailbox has no room, which is
    so only when the CPU has left earlier ones lying; and when the reply does not come within a
    second or two. What comes later is ignored. A card without firmware has ``Multiqueue`` instead.

    A chain without room for an answer does nothing. A chain of a driver that is gone comes back
    with nothing written.

    Parameters
    ----------
    pairs
        Queue pairs that each function has: the largest number that is accepted, 1 to 7.
    functions
        1 to 8.
    patience
        See ``Turns``.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains of the control queues, one of each function at a time.
    used : Out(stream.Signature(Used))
        Each chain goes back with the number of bytes written, 0 or 1.
    begun, dropped : In(1), begun_of, dropped_of : In(3), held : Out(8)
        From and to the engine: one chain of each function is begun at a time.
    read : Out(HostRead)
        Fetches commands.
    write : Out(HostWrite)
        Stores answers; a chain is used after its answer was accepted here.
    mailbox : Out(MailboxPort)
        To the firmware.
    ready : In(8)
        Functions whose driver is running: the others fall back to one pair.
    multiqueue : In(8)
        Functions that have negotiated VIRTIO_NET_F_MQ.
    active : Out(3), an array over functions
        Queue pairs that the device may use.
    """

    def __init__(
        self,
        pairs: int,
        *,
        functions: int = MAX_FUNCTIONS,
        patience: int = PATIENCE,
    ):
        if not 1 <= pairs <= 7:
            raise ValueError(f"A function has 1 to 7 queue pairs, not {pairs!r}")
        self.pairs = pairs
        self.functions = functions
        self.patience = patience
        super().__init__(
            {
                "i": In(stream.Signature(Segment)),
                "used": Out(stream.Signature(Used)),
                "begun": In(1),
                "begun_of": In(3),
                "dropped": In(1),
                "dropped_of": In(3),
                "held": Out(MAX_FUNCTIONS),
                "read": Out(HostRead),
                "write": Out(HostWrite),
                "mailbox": Out(MailboxPort),
                "ready": In(MAX_FUNCTIONS),
                "multiqueue": In(MAX_FUNCTIONS),
                "active": Out(data.ArrayLayout(3, MAX_FUNCTIONS), init=[1] * MAX_FUNCTIONS),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.intake = intake = Intake()
        m.submodules.turns = turns = Turns(self.functions, self.patience)
        m.submodules.reader = reader = CommandReader()
        connect(m, flipped(self.i), intake.i)
        connect(m, reader.read, flipped(self.read))

        #: Whose command is in hand; or who is looked at.
        function = Signal(3)
        job = Signal(_Job)
        summary = Signal(Summary)
        refused, written = Signal(), Signal()
        low, high = Signal(32), Signal(32)
        place = Signal(Place)

        def bit(flags):
            return flags.bit_select(function, 1)

        m.d.comb += [
            place.function.eq(function),
            intake.place.eq(Mux(reader.go, reader.place, place)),
            reader.word.eq(intake.word),
            reader.function.eq(function),
            reader.segments.eq(summary.segments),
            turns.arrived.eq(intake.arrived),
            turns.arrived_of.eq(intake.arrived_of),
            turns.function.eq(function),
            turns.ended.eq(self.used.valid & self.used.ready),
            turns.ready.eq(self.ready),
            self.held.eq(turns.held),
            self.write.command.payload.kind.eq(WriteKind.MEMORY),
            self.write.command.payload.address.eq(Cat(low, high)),
            self.write.command.payload.length.eq(1),
            self.write.command.payload.function.eq(function),
            self.write.data.payload.data.eq(Mux(refused, Answer.ERR.value, Answer.OK.value)),
            self.write.data.payload.empty.eq(BEAT_BYTES - 1),
            self.write.data.payload.last.eq(1),
            self.used.payload.queue.index.eq(2 * self.pairs),
            self.used.payload.queue.function.eq(function),
            self.used.payload.head.eq(summary.head),
            self.used.payload.length.eq(written),
        ]
        for name in ("begun", "begun_of", "dropped", "dropped_of"):
            m.d.comb += getattr(turns, name).eq(getattr(self, name))

        # What command is it?
        command = PairsCommand(reader.found)
        whole, is_mq, good = Signal(), Signal(), Signal()
        few = command.pairs[:3]
        m.d.sync += [
            whole.eq(~reader.failed & ~summary.crowded & (summary.total >= _SHORTEST)),
            is_mq.eq(command.kind == _MQ),
            good.eq(
                whole
                & (summary.total == PAIRS_BYTES)
                & (command.command == 0)
                & ~command.pairs[3:].any()
                & (few != 0)
                & (few <= self.pairs)
                & bit(self.multiqueue)
            ),
        ]
        sets = Signal()
        for number, active in enumerate(self.active):
            with m.If(sets & (function == number)):
                m.d.sync += active.eq(few)
            with m.If(~self.ready[number]):
                m.d.sync += active.eq(1)

        with m.FSM() as steps:
            with m.State("IDLE"):
                m.d.comb += place.part.eq(Part.SUMMARY)
                m.d.sync += [job.eq(_Job.EXECUTE), refused.eq(1), written.eq(0)]
                with m.If(bit(turns.void)):
                    m.d.sync += job.eq(_Job.RETURN)
                    m.next = "SUMMARY"
                with m.Elif(bit(turns.late)):
                    m.d.sync += job.eq(_Job.ANSWER)
                    m.next = "SUMMARY"
                with m.Elif(bit(turns.fresh)):
                    m.next = "SUMMARY"
                with m.Else():
                    last = function == self.functions - 1
                    m.d.sync += function.eq(Mux(last, 0, function + 1))
                with m.If(self.mailbox.reply.valid):
                    m.d.sync += function.eq(self.mailbox.reply.payload.header.function)
                    m.next = "REPLY"
            with m.State("SUMMARY"):
                m.d.comb += place.part.eq(Part.SUMMARY)
                m.next = "JOB"
            with m.State("JOB"):
                found = Summary(intake.word)
                m.d.sync += summary.eq(found)
                m.next = "USED"
                with m.If(found.answerable & (job == _Job.EXECUTE)):
                    m.next = "READ"
                with m.Elif(found.answerable & (job == _Job.ANSWER)):
                    m.next = "PLACE"
            with m.State("READ"):
                m.d.comb += reader.go.eq(1)
                with m.If(reader.done):
                    m.next = "LOOK"
            with m.State("LOOK"):
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += sets.eq(is_mq & good)
                m.d.sync += refused.eq(~sets)
                m.next = "PLACE"
                with m.If(whole & ~is_mq & bit(self.mailbox.credit) & bit(self.ready)):
                    m.next = "SEND"

            # The answer is written, and the chain goes back.
            with m.State("PLACE"):
                m.d.comb += place.part.eq(Part.LOW)
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += place.part.eq(Part.HIGH)
                m.d.sync += low.eq(intake.word)
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.sync += high.eq(intake.word)
                m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.write.command.valid.eq(1)
                with m.If(self.write.command.ready):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += self.write.data.valid.eq(1)
                with m.If(self.write.data.ready):
                    m.d.sync += written.eq(1)
                    m.next = "USED"
            with m.State("USED"):
                m.d.comb += self.used.valid.eq(1)
                with m.If(self.used.ready):
                    m.next = "IDLE"
            self._talk(m, turns, reader, function, summary, job, refused)
        m.d.comb += turns.busy.eq(~steps.ongoing("IDLE"))
        return m

    def _talk(self, m, turns, reader, function, summary, job, refused):
        """States of a message, whose first word is at hand, and of a reply."""
        m.submodules.courier = courier = Courier()
        reply = self.mailbox.reply
        connect(m, courier.request, flipped(self.mailbox.request))
        mine, cut = Signal(), Signal()
        waits = turns.waiting.bit_select(function, 1)
        m.d.sync += [
            cut.eq(summary.total > COMMAND_BYTES),
            mine.eq(waits & (reply.payload.header.tag == turns.tag[function])),
        ]
        m.d.comb += [
            courier.function.eq(function),
            courier.tag.eq(turns.tag[function]),
            courier.length.eq(reader.gathered),
            courier.cut.eq(cut),
            courier.word.eq(reader.found),
            reader.at.eq(courier.at),
            self.mailbox.reset.eq(turns.reset),
            turns.reset_done.eq(self.mailbox.reset_done),
        ]
        with m.State("SEND"):
            m.d.comb += [courier.go.eq(1), turns.sent.eq(courier.done)]
            with m.If(courier.done):
                m.next = "IDLE"
        with m.State("REPLY"):
            m.d.sync += [job.eq(_Job.ANSWER), refused.eq(reply.payload.packet.data[0])]
            m.next = "TAKE"
        with m.State("TAKE"):
            m.d.comb += reply.ready.eq(1)
            with m.If(reply.valid & reply.payload.packet.last):
                m.next = "IDLE"
                with m.If(mine):
                    m.next = "SUMMARY"
