"""Writing host memory: whole packets, in the order in which they were accepted."""

from collections.abc import Sequence

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, HostWrite, PacketStream
from niter.stream import Ram

from .layouts import FunctionStates, Interrupt, LinkState
from .order import WriteOrder
from .write_cut import WriteCutter
from .write_send import WriteSender
from .write_store import RING_WORDS, WriteStore

__all__ = ["WriteDma"]


class WriteDma(wiring.Component):
    """The write ports of the transaction layer.

    ``WriteStore`` gathers whole packets from the ports in a ring of 4 KiB, where a bad one
    can still be forgotten; ``WriteCutter`` and ``WriteSender`` make TLPs of them, whose payload
    is therefore complete before they begin.

    Parameters
    ----------
    weights
        Commands per turn of each port, 1 to 4 ports.

    Members
    -------
    write : array of In(HostWrite)
        The ports.
    o : Out(PacketStream)
        Memory write requests.
    interrupt : Out(stream of Interrupt)
        Interrupts, each behind all writes accepted before it.
    asked : In(range(MAX_FUNCTIONS)), holds : Out(1)
        Whether a command or a TLP of function ``asked`` is here; combinational.
    order : Out(WriteOrder)
        How far the writes have come.
    states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    def __init__(self, *, weights: Sequence[int]):
        self._weights = tuple(weights)
        super().__init__(
            {
                "write": In(HostWrite).array(len(self._weights)),
                "o": Out(PacketStream),
                "interrupt": Out(stream.Signature(Interrupt)),
                "asked": In(range(MAX_FUNCTIONS)),
                "holds": Out(1),
                "order": Out(WriteOrder),
                "states": In(FunctionStates),
                "link": In(LinkState),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.store = store = WriteStore(self._weights)
        m.submodules.cutter = cutter = WriteCutter()
        m.submodules.sender = sender = WriteSender()
        m.submodules.ring = ring = Ram(shape=64, depth=RING_WORDS, init=[])
        read = ring.read_port()

        for outer, inner in zip(self.write, store.write, strict=True):
            connect(m, flipped(outer), inner)
        connect(m, store.ring, ring.write_port())
        connect(m, store.o, cutter.i)
        connect(m, cutter.o, sender.i)
        connect(m, flipped(self.o), sender.o)
        connect(m, flipped(self.interrupt), cutter.interrupt)
        m.d.comb += [
            read.addr.eq(sender.word_addr),
            read.en.eq(sender.word_en),
            sender.word.eq(read.data),
            store.freed.eq(sender.freed),
            store.retired.eq(sender.retired | cutter.dropped),
            cutter.drained.eq(sender.drained),
            sender.base.eq(cutter.base),
            store.asked.eq(self.asked),
            cutter.asked.eq(self.asked),
            sender.asked.eq(self.asked),
            self.holds.eq(store.holds | cutter.holds | sender.holds),
            self.order.eq(store.order),
            store.states.eq(self.states),
            cutter.states.eq(self.states),
            sender.link.eq(self.link),
        ]
        return m
