"""Reading host memory: up to 28 requests in flight, answers in order for each port."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, HostRead, PacketStream
from niter.stream import Ram

from .layouts import ErrorReport, FunctionStates, LinkState
from .order import WriteOrder
from .read_answer import AnswerMover
from .read_request import ReadRequester
from .read_track import CompletionTracker
from .slots import SLOT_BYTES, SLOTS, SlotInfo, SlotMap

__all__ = ["ReadDma"]


class ReadDma(wiring.Component):
    """The read ports of the transaction layer.

    ``ReadRequester`` cuts commands into requests of at most 128 bytes; each takes a slot of
    the 4 KiB reorder buffer, whose number is its tag. ``CompletionTracker`` puts completions
    into the slots as they come, in any order, and decides when a slot is answered or has
    failed. ``AnswerMover`` delivers the slots of each port in order.

    Parameters
    ----------
    shares
        Quarters of the buffer for each port: 1, 2 or 4. A quarter is seven requests in
        flight.
    timeout
        Cycles; an unanswered request fails after one to two times as many.
    functions
        Number of functions.

    Members
    -------
    read : array of In(HostRead)
        The ports.
    completions : In(PacketStream)
        Completions; never stalled. One that ends with ``error`` is ignored.
    o : Out(PacketStream)
        Memory read requests.
    error : Out(ErrorReport)
        Poisoned, unexpected and unsuccessful completions, and time-outs.
    busy : Out(MAX_FUNCTIONS)
        Function has requests outstanding.
    order : In(WriteOrder), states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    def __init__(
        self, *, shares: Sequence[int], timeout: int = 625_000, functions: int = MAX_FUNCTIONS
    ):
        self._slots = SlotMap(shares)
        self._timeout = timeout
        self._functions = functions
        super().__init__(
            {
                "read": In(HostRead).array(len(self._slots.sizes)),
                "completions": In(PacketStream),
                "o": Out(PacketStream),
                "error": Out(ErrorReport),
                "busy": Out(MAX_FUNCTIONS),
                "order": In(WriteOrder),
                "states": In(FunctionStates),
                "link": In(LinkState),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.requester = requester = ReadRequester(self._slots)
        m.submodules.tracker = tracker = CompletionTracker(
            timeout=self._timeout, functions=self._functions
        )
        m.submodules.mover = mover = AnswerMover(self._slots)

        words = SLOTS * SLOT_BYTES // 8
        stores = ((32, tracker.lower_store), (33, tracker.upper_store))
        halves = []
        for name, (width, store) in zip(("lower", "upper"), stores, strict=True):
            m.submodules[name] = buffer = Ram(shape=width, depth=words, init=[])
            connect(m, store, buffer.write_port())
            read = buffer.read_port()
            m.d.comb += [read.addr.eq(mover.word_addr), read.en.eq(mover.word_en)]
            halves.append(read.data)
        m.submodules.infos = infos = Ram(shape=SlotInfo, depth=SLOTS, init=[])
        # Small enough for LUT-RAM, but 33 bits wide: an EBR is cheaper.
        infos.attrs["ram_style"] = "block"
        info_write = infos.write_port()
        info_read = infos.read_port()

        for port, command, answer in zip(self.read, requester.command, mover.answer, strict=True):
            connect(m, flipped(port.command), command)
            connect(m, flipped(port.answer), answer)
        connect(m, flipped(self.completions), tracker.i)
        connect(m, flipped(self.o), requester.o)
        connect(m, requester.open, tracker.open)
        m.d.comb += [
            requester.order.eq(self.order),
            requester.states.eq(self.states),
            requester.link.eq(self.link),
            tracker.states.eq(self.states),
            tracker.link.eq(self.link),
            tracker.stalled.eq(requester.o.valid & ~requester.o.ready),
            self.busy.eq(tracker.busy),
            tracker.done_tag.eq(mover.done_tag),
            mover.done.eq(tracker.done),
            mover.finished.eq(tracker.finished),
            mover.finished_tag.eq(tracker.finished_tag),
            Cat(mover.word, mover.swapped).eq(Cat(halves)),
            self.error.eq(tracker.error),
            info_write.addr.eq(requester.open.payload.tag),
            info_write.data.eq(requester.info),
            info_write.en.eq(requester.open.valid & requester.open.ready),
            info_read.addr.eq(mover.info_tag),
            mover.info.eq(info_read.data),
        ]
        for mine, theirs in zip(requester.freed, mover.freed, strict=True):
            m.d.comb += mine.eq(theirs)
        return m
