"""The engine: one sequence of states for all requests, slots and targets."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.compare import less_of_few
from niter.interface import (
    BlockCompletion,
    BlockOpcode,
    BlockRequest,
    BlockSpan,
    BlockStatus,
)

from ..rates import CYCLE_BITS
from .aborting import Aborting
from .answering import Answering
from .codec import ORDERS, SLOT_BITS, Answer, Ending, Verdict
from .desk import Desk
from .heads import HeadWord
from .layouts import Limits, Settings
from .sending import Sending
from .shelf import Shelf
from .tasks import Event, Task
from .timing import Timing

__all__ = ["TICK", "Counted", "Engine"]

#: Cycles of a tick of time, and from one look at a slot to the next slot's.
TICK = 256
_LOOK = 64


class Counted(data.Struct):
    """Something to be counted for a target."""

    event: Event
    target: 4


class Engine(wiring.Component):
    """Decides: which frame is sent next, what an answer means, what is sent again.

    Everything that can happen takes its turn, from 10 to about 50 cycles each, and 150 more for
    a frame while a write is dangerous. State is in memories, by slot, request and target; see
    ``layouts``. In order of precedence:

    1. the clock, which has a slot looked at every 64 cycles;
    2. frames that could not be sent, and data that came damaged;
    3. answers;
    4. aborts, once the builder and the receiver are quiet;
    5. requests, which join their target's list;
    6. frames of requests, one for each target in turn.

    With nothing else to do, every other cycle is the turn of a target. A request that finds nothing
    in flight has its first frame sent at once.

    Parameters
    ----------
    slots
        Frames in flight at most, a power of two up to 64.
    tags
        Requests have tags below that: a power of two from 2 to 256.

    Members
    -------
    request, completion, pull, abort, aborted
        Of the block port.
    order : Out(stream.Signature(HeadWord))
        Words of orders.
    issued, built : Out(5), In(5)
        Orders that were given, and that the builder is done with; see ``Builder``.
    failure : In(stream.Signature(6))
        The slot whose order it could not send.
    answer, verdict, ending
        From and to the receiver.
    fault : In(stream.Signature(8))
        It pushed bad data of a request.
    receiving : In(1)
        It is busy with a verdict.
    completing : In(1)
        A completion is on its way to the front end.
    counted : Out(stream.Signature(Counted))
        To the counters.
    cycles : Out(CYCLE_BITS)
        Cycles that have passed.
    settings : In(Settings)
        From control.
    set_limits, set_volume : In
        Writes of control's: a target's limits, and the target of a volume (valid in bit 4).
    """

    def __init__(self, slots: int = 1 << SLOT_BITS, tags: int = 256):
        if not 2 <= slots <= 1 << SLOT_BITS or slots & (slots - 1):
            raise ValueError(f"Slots are a power of two from 2 to 64, not {slots!r}")
        if not 2 <= tags <= 256 or tags & (tags - 1):
            raise ValueError(f"Tags are a power of two from 2 to 256, not {tags!r}")
        self.slots = slots
        self.tags = tags

        def write(shape):
            return In(data.StructLayout({"en": 1, "addr": 4, "data": shape}))

        super().__init__(
            {
                "request": In(stream.Signature(BlockRequest)),
                "completion": Out(stream.Signature(BlockCompletion)),
                "pull": Out(stream.Signature(BlockSpan)),
                "abort": In(stream.Signature(8)),
                "aborted": Out(stream.Signature(8)),
                "order": Out(stream.Signature(HeadWord)),
                "issued": Out(5),
                "built": In(5),
                "failure": In(stream.Signature(SLOT_BITS)),
                "answer": In(stream.Signature(Answer)),
                "verdict": Out(stream.Signature(Verdict)),
                "ending": Out(stream.Signature(Ending)),
                "fault": In(stream.Signature(8)),
                "receiving": In(1),
                "completing": In(1),
                "counted": Out(stream.Signature(Counted)),
                "cycles": Out(CYCLE_BITS),
                "settings": In(Settings),
                "set_limits": write(Limits),
                "set_volume": write(5),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        settings = self.settings
        desk = Desk(m, self.slots, self.tags)
        shelf = Shelf(desk)
        sending = Sending(desk, settings)
        answering = Answering(desk)
        timing = Timing(desk, sending, answering, settings)
        aborting = Aborting(desk, shelf)
        shelf.connect()

        for port, write in (
            (desk.set_limits, self.set_limits),
            (desk.set_volume, self.set_volume),
        ):
            m.d.comb += [
                port.addr.eq(write.addr),
                port.data.eq(write.data),
                port.en.eq(write.en),
            ]
        # Orders that are given and not built; a slot's last one is among them if it is younger.
        queued = Signal(5)
        younger = Signal(5)
        m.d.comb += [
            self.issued.eq(desk.issued),
            queued.eq(desk.issued - self.built),
            younger.eq(desk.issued - desk.time.serial),
            answering.pending.eq(less_of_few(younger, queued)),
        ]
        quiet = (queued == 0) & ~self.receiving & ~self.verdict.valid & ~self.answer.valid

        due = Signal()
        scan = Signal(range(self.slots))
        m.d.sync += [
            self.cycles.eq(self.cycles + 1),
            due.eq(due | (self.cycles[: ceil_log2(_LOOK)] == 0)),
        ]
        m.d.comb += desk.now.eq(self.cycles[ceil_log2(TICK) :])
        with m.If(self.verdict.ready):
            m.d.sync += self.verdict.valid.eq(0)
        with m.If(self.ending.ready):
            m.d.sync += self.ending.valid.eq(0)
        with m.If(self.counted.ready):
            m.d.sync += desk.counts.eq(0)

        answering.weigh(self.answer, settings.seed)
        may_send = Signal()
        turn = Signal(4)
        m.d.comb += [
            may_send.eq((queued != ORDERS) & self.pull.ready & ~self.abort.valid),
            self.completion.payload.eq(desk.completion),
            self.counted.valid.eq(desk.counts),
            self.counted.payload.event.eq(desk.event),
            self.counted.payload.target.eq(desk.target),
            desk.volume.addr.eq(self.request.payload.volume),
        ]
        refusal = Signal(BlockStatus)
        refused = Signal()
        known_volume, beyond, far = Signal(), Signal(), Signal()
        # In the cycle after ADMIT it is of the last of a request's sectors.
        m.d.sync += far.eq(desk.reach[-1])

        with m.FSM(init="CLEAR") as fsm:
            with m.State("CLEAR"):
                shelf.clear()
            with m.State("IDLE"):
                m.d.sync += answering.failing.eq(self.failure.valid)
                m.d.comb += [desk.fetches.eq(1), desk.fetched.eq(turn)]
                with m.If(desk.counts):
                    # The target in hand is what the event counts for.
                    pass

                with m.Elif(due):
                    m.d.sync += [due.eq(0), scan.eq(scan + 1)]
                    with m.If(scan == 0):
                        m.d.sync += desk.changes.eq(desk.changes + 1)
                    desk.find_slot(scan, Task.TIMER)
                with m.Elif(self.failure.valid):
                    desk.find_slot(self.failure.payload, Task.ANSWER)
                with m.Elif(self.fault.valid):
                    m.d.sync += desk.task.eq(Task.FAULT)
                    desk.find_request(self.fault.payload)
                with m.Elif(self.answer.valid & ~self.verdict.valid):
                    desk.find_slot(self.answer.payload.slot, Task.ANSWER)
                with m.Elif(self.abort.valid), m.If(quiet):
                    m.d.sync += desk.task.eq(Task.ABORT)
                    desk.find_request(self.abort.payload)
                with m.Elif(self.request.valid):
                    m.d.comb += self.request.ready.eq(1)
                    m.next = "ADMIT"
                # What was learnt in the last cycle may be of the target whose turn it is.
                with m.Elif(~desk.learnt):
                    m.d.sync += [desk.target.eq(turn), turn.eq(turn + 1)]
                    m.next = "TURN"
            with m.State("TURN"):
                m.next = "IDLE"
                with m.If(desk.stale):
                    desk.renew()
                    m.d.sync += desk.changes.eq(desk.changes + 1)
                with m.Elif(may_send & (desk.free != 0)):
                    m.next = "SEND"
            with m.State("FAULT"):
                m.d.comb += self.fault.ready.eq(1)
                with m.If(desk.state.status == BlockStatus.OK):
                    m.d.sync += desk.state.status.eq(BlockStatus.INTERNAL)
                desk.store(request=desk.state.live)
            with m.State("ADMIT"):
                # ATA cannot name the last of 2 to the 48 sectors. Until here all are cut.
                m.d.comb += [desk.fetches.eq(1), desk.uncuts.eq(1)]
                m.next = "REFUSE"
            with m.State("REFUSE"):
                opcode = desk.state.opcode.as_value()
                m.d.comb += refused.eq(1)
                with m.If(~known_volume):
                    m.d.comb += refusal.eq(BlockStatus.NO_VOLUME)
                with m.Elif(~desk.limits.enabled):
                    m.d.comb += refusal.eq(BlockStatus.PATH)
                with m.Elif(opcode > BlockOpcode.VERIFY.value):
                    m.d.comb += refusal.eq(BlockStatus.UNSUPPORTED)
                with m.Elif(beyond | far):
                    m.d.comb += refusal.eq(BlockStatus.OUT_OF_RANGE)
                with m.Elif(opcode == BlockOpcode.DISCARD):
                    m.d.comb += refusal.eq(BlockStatus.OK)
                with m.Elif((desk.sectors == 0) & (opcode != BlockOpcode.FLUSH)):
                    m.d.comb += refusal.eq(BlockStatus.INTERNAL)
                with m.Else():
                    m.d.comb += refused.eq(0)
                with m.If(refused):
                    desk.end_request(refusal)
                desk.store(request=1, new=1)
                with m.If(~refused):
                    m.next = "APPEND"
            # Nobody else's turn is lost by that: no answer is there to bring the next request.
            alone = (desk.free == desk.slots) & may_send
            shelf.states(self.completion.ready)
            sending.states(self.order, self.pull)
            answering.states(self.answer, self.failure, self.verdict, self.ending)
            timing.states(may_send)
            aborting.states(self.abort, self.aborted, self.completing, alone & ~desk.stale)
        m.d.comb += self.completion.valid.eq(fsm.ongoing("COMPLETE"))

        # A request that comes in.
        request = self.request.payload
        flush = request.opcode == BlockOpcode.FLUSH
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [
                desk.task.eq(Task.SEND),
                desk.tag.eq(request.tag),
                desk.state.cut.eq(request.sectors),
                desk.state.active.eq(0),
                desk.state.status.eq(BlockStatus.OK),
                desk.state.opcode.eq(request.opcode),
                desk.state.fua.eq(request.fua),
                desk.state.queued.eq(0),
                desk.state.live.eq(1),
                desk.base.eq(request.lba),
                desk.sectors.eq(request.sectors),
                desk.home.eq(desk.volume.data),
                desk.target.eq(desk.volume.data),
                known_volume.eq(desk.volume.data[4]),
                beyond.eq(~flush & request.lba[48:].any()),
            ]
            m.d.comb += [desk.uncuts.eq(flush), desk.empties.eq(flush)]

        desk.begin_with_zeros()
        return m
