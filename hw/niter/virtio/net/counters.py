"""What became of the frames, counted by function and direction."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS
from niter.stream import Arbiter

from .layouts import Event, Record

__all__ = ["DIRECTIONS", "FrameCounters"]

#: Order of the inputs, and of a function's blocks of counters.
DIRECTIONS = ("tx", "rx")

_NAMES = {
    Event.FRAME: "frames",
    Event.BYTES: "bytes",
    Event.DROPPED: "dropped",
    Event.FAILED: "failed",
}


class FrameCounters(wiring.Component):
    """Keeps the movers' books: 64-bit counters of frames, bytes and losses.

    A frame is entered in some 12 cycles, twice as fast as the smallest frames come.

    Parameters
    ----------
    functions
        How many functions are counted.

    Members
    -------
    i : In(stream.Signature(Record)), an array
        Records of the transmit and of the receive mover.
    csr : In(csr.Signature)
        The counters; see ``csr.CounterBank``.
    """

    def __init__(self, functions: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.functions = functions
        names = [
            f"function{function}_{direction}_{_NAMES[event]}"
            for function in range(functions)
            for direction in DIRECTIONS
            for event in Event
        ]
        self._bank = csr.CounterBank(
            names,
            doc="Frames passed on and their bytes; frames dropped by rule or for want of "
            "buffers; frames that failed because host memory or the source failed.",
        )
        super().__init__(
            {
                "i": In(stream.Signature(Record)).array(len(DIRECTIONS)),
                "csr": In(csr.Signature(addr_width=self._bank.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._bank.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bank = self._bank
        m.submodules.arbiter = arbiter = Arbiter(Record, len(DIRECTIONS), packet=False)
        connect(m, flipped(self.csr), self._bank.bus)
        for source, port in zip(self.i, arbiter.i, strict=True):
            connect(m, flipped(source), port)

        # A frame makes two entries, all else one.
        record = arbiter.o.payload
        second = Signal()
        is_frame = record.event == Event.FRAME
        event = Mux(second, Event.BYTES, record.event)
        entry = self._bank.i
        m.d.comb += [
            entry.valid.eq(arbiter.o.valid),
            entry.p.index.eq(Cat(event, arbiter.turn, record.function)),
            entry.p.amount.eq(Mux(second, record.bytes, 1)),
            arbiter.o.ready.eq(entry.ready & (second | ~is_frame)),
        ]
        with m.If(entry.valid & entry.ready):
            m.d.sync += second.eq(~second & is_frame)
        return m
