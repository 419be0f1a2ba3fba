"""The control queue of virtio-net without firmware: as far as multiqueue needs it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, MAX_FUNCTIONS, HostRead, HostWrite, WriteKind
from niter.virtio.queue.layouts import Segment, Used

from .messages import PAIRS_BYTES, Answer, PairsCommand

__all__ = ["Multiqueue"]

#: Class VIRTIO_NET_CTRL_MQ, command VQ_PAIRS_SET, and upper bits of a number below eight.
_SET_FEW_PAIRS = 4


class Multiqueue(wiring.Component):
    """Executes VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET and refuses every other command.

    A command is a chain whose device-readable bytes are class, command and data, and whose
    first writable byte takes the answer (virtio 1.2, 5.1.6.5), in any arrangement of
    segments. One command is handled at a time. A command that cannot be read, or whose
    length is not that of VQ_PAIRS_SET, is refused; one without room for an answer does
    nothing.

    Parameters
    ----------
    pairs
        Queue pairs that each function has: the largest number that is accepted, 1 to 7.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains of the control queues.
    used : Out(stream.Signature(Used))
        Each chain goes back with the number of bytes written, 0 or 1.
    read : Out(HostRead)
        Fetches commands.
    write : Out(HostWrite)
        Stores answers; a chain is used after its answer was accepted here.
    ready : In(8)
        Functions whose driver is running: the others fall back to one pair.
    multiqueue : In(8)
        Functions that have negotiated VIRTIO_NET_F_MQ.
    active : Out(3), an array over functions
        Queue pairs that the device may use.
    """

    i: In(stream.Signature(Segment))
    used: Out(stream.Signature(Used))
    read: Out(HostRead)
    write: Out(HostWrite)
    ready: In(MAX_FUNCTIONS)
    multiqueue: In(MAX_FUNCTIONS)
    active: Out(data.ArrayLayout(3, MAX_FUNCTIONS), init=[1] * MAX_FUNCTIONS)

    def __init__(self, pairs: int):
        if not 1 <= pairs <= 7:
            raise ValueError(f"A function has 1 to 7 queue pairs, not {pairs!r}")
        self.pairs = pairs
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        segment, answer = Signal(Segment), self.read.answer.payload
        function = segment.queue.function

        # The command, first byte lowest, and how much of it is here.
        command = Signal(PairsCommand)
        gathered = Signal(3)
        exact = Signal()
        failed = Signal()
        written = Signal()
        #: Bytes that the read in hand brings, and the next one of them.
        expected = Signal(3)
        lane = Signal(2)
        missing = Signal(3)
        short = ~segment.length[3:].any() & (segment.length[:3] < missing)
        byte = answer.packet.data.word_select(lane, 8)
        m.d.comb += missing.eq(PAIRS_BYTES - gathered)

        good = Signal()
        m.d.sync += good.eq(
            exact
            & ~failed
            & (gathered == PAIRS_BYTES)
            & (Cat(command.kind, command.command, command.pairs[3:]) == _SET_FEW_PAIRS)
            & (command.pairs[:3] != 0)
            & (command.pairs[:3] <= self.pairs)
            & self.multiqueue.bit_select(function, 1)
        )
        m.d.comb += [
            self.read.command.payload.address.eq(segment.address),
            self.read.command.payload.length.eq(expected),
            self.read.command.payload.function.eq(function),
            self.write.command.payload.kind.eq(WriteKind.MEMORY),
            self.write.command.payload.address.eq(segment.address),
            self.write.command.payload.length.eq(1),
            self.write.command.payload.function.eq(function),
            self.write.data.payload.data.eq(Mux(good, Answer.OK.value, Answer.ERR.value)),
            self.write.data.payload.empty.eq(BEAT_BYTES - 1),
            self.write.data.payload.last.eq(1),
            self.used.payload.queue.eq(segment.queue),
            self.used.payload.head.eq(segment.head),
            self.used.payload.length.eq(written),
        ]

        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += segment.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "SEGMENT"
            with m.State("SEGMENT"):
                m.d.sync += expected.eq(Mux(short, segment.length[:3], missing))
                with m.If(segment.first):
                    m.d.sync += exact.eq(segment.total == PAIRS_BYTES)
                with m.If(segment.writable & ~written):
                    m.next = "ANSWER"
                with m.Elif(~segment.writable & (missing != 0) & (segment.length != 0)):
                    m.next = "FETCH"
                with m.Else():
                    m.next = "NEXT"

            with m.State("FETCH"):
                m.d.sync += lane.eq(0)
                m.d.comb += self.read.command.valid.eq(1)
                with m.If(self.read.command.ready):
                    m.next = "GATHER"
            with m.State("GATHER"), m.If(self.read.answer.valid):
                m.d.sync += [
                    lane.eq(lane + 1),
                    gathered.eq(gathered + 1),
                    command.eq(Cat(command.as_value()[8:], byte)),
                ]
                with m.If(answer.packet.error | (lane + 1 == expected)):
                    m.d.comb += self.read.answer.ready.eq(1)
                    m.d.sync += failed.eq(failed | answer.packet.error)
                    m.next = "NEXT"

            with m.State("ANSWER"):
                m.d.comb += self.write.command.valid.eq(1)
                with m.If(self.write.command.ready):
                    m.next = "STORE"
            with m.State("STORE"):
                m.d.comb += self.write.data.valid.eq(1)
                with m.If(self.write.data.ready):
                    m.d.sync += written.eq(1)
                    m.next = "NEXT"

            with m.State("NEXT"):
                with m.If(segment.last):
                    m.next = "USED"
                with m.Else():
                    m.next = "TAKE"
            with m.State("USED"):
                m.d.comb += self.used.valid.eq(1)
                with m.If(self.used.ready):
                    m.d.sync += [gathered.eq(0), failed.eq(0), written.eq(0)]
                    m.next = "TAKE"

        for number, active in enumerate(self.active):
            setting = self.write.command.valid & good & (function == number)
            with m.If(setting):
                m.d.sync += active.eq(command.pairs)
            with m.If(~self.ready[number]):
                m.d.sync += active.eq(1)
        return m
