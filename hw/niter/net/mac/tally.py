"""What a MAC counts, and how its events reach the counters."""

from amaranth import Module, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.csr import CounterBank
from niter.stream import Fifo

__all__ = ["EVENTS", "Counter", "Event", "Tally"]

#: Events that may wait for the counters.
EVENTS = 64


class Counter(enum.Enum, shape=4):
    """Index of a counter. Each ``*_FRAMES`` of good frames shares the ``*_BYTES`` of its side."""

    RX_UNICAST_FRAMES = 0
    RX_MULTICAST_FRAMES = 1
    RX_BYTES = 2
    RX_BAD_FCS = 3
    RX_SYMBOL_ERRORS = 4
    RX_RUNTS = 5
    RX_GIANTS = 6
    RX_CONTROL_FRAMES = 7
    RX_OVERFLOWS = 8
    TX_FRAMES = 9
    TX_BYTES = 10
    TX_DISCARDED = 11


class Event(data.Struct):
    """Count one at ``counter``; where ``with_bytes`` is set, ``length`` at ``bytes`` too."""

    counter: Counter
    with_bytes: 1
    bytes: Counter
    length: 14


class Tally(wiring.Component):
    """Turns events into increments of a counter bank.

    An event takes 4 to 12 cycles; ``EVENTS`` of them may wait. More than that come at once only
    from a wire that carries fragments of a few octets: then ``i`` is not ready, and whoever
    cannot wait loses the event.

    Members
    -------
    i : In(stream.Signature(Event))
        Events.
    o : Out(stream)
        Increments for ``bank``.
    """

    def __init__(self, bank: CounterBank):
        self._increment = bank.increment
        super().__init__(
            {
                "i": In(stream.Signature(Event)),
                "o": Out(stream.Signature(bank.increment)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.waiting = waiting = Fifo(Event, EVENTS)
        event = waiting.o.payload
        second = Signal()
        wiring.connect(m, wiring.flipped(self.i), waiting.i)
        m.d.comb += [
            self.o.valid.eq(waiting.o.valid),
            self.o.payload.index.eq(event.counter),
            self.o.payload.amount.eq(1),
        ]
        with m.If(second):
            m.d.comb += [
                self.o.payload.index.eq(event.bytes),
                self.o.payload.amount.eq(event.length),
            ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += second.eq(event.with_bytes & ~second)
            m.d.comb += waiting.o.ready.eq(second | ~event.with_bytes)
        return m
