"""The slot of a whole card: its TLPs by the packet, since Python takes longer to look at each beat
than the model of the card to make it.

The streams' rules are asserted where the transaction layer is tested alone.
"""

from collections import deque
from collections.abc import Callable

import cocotb
from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import Event
from cocotb.utils import get_sim_time

from niter.interface import BEAT_BYTES, PacketStream
from sim.models.streams import Packet, place_of

__all__ = [
    "Gather",
    "Held",
    "Observer",
    "SlotSink",
    "SlotSource",
    "Spread",
    "gathered",
    "held_of",
]

#: Beats of the longest TLP: 256 bytes behind a header of 16.
_BEATS = (256 + 16) // BEAT_BYTES

#: Called with a TLP and the time, in nanoseconds, at which its last beat passed.
Observer = Callable[[bytes, float], None]


class Held(data.Struct):
    """A whole packet.

    Members
    -------
    beats : range(_BEATS + 1), empty : 3 bits, error : 1 bit
        How many there are, and what the last one says.
    octets : 64 * _BEATS bits
        The first is lowest.
    """

    beats: range(_BEATS + 1)
    empty: 3
    error: 1
    octets: 8 * BEAT_BYTES * _BEATS


_BEATS_AT, _BEATS_MASK = place_of(Held, "beats")
_EMPTY_AT, _EMPTY_MASK = place_of(Held, "empty")
_ERROR_AT, _ = place_of(Held, "error")
_OCTETS_AT, _ = place_of(Held, "octets")


def held_of(packet: Packet) -> int:
    """The bits of a ``Held`` for a ``Spread``."""
    beats = -(-len(packet.data) // BEAT_BYTES)
    return (
        beats << _BEATS_AT
        | (beats * BEAT_BYTES - len(packet.data)) << _EMPTY_AT
        | packet.error << _ERROR_AT
        | int.from_bytes(packet.data, "little") << _OCTETS_AT
    )


def gathered(held: int) -> Packet:
    """The packet that the bits of a ``Gather``'s ``Held`` are."""
    octets = (held >> _OCTETS_AT).to_bytes(BEAT_BYTES * _BEATS, "little")
    begin = BEAT_BYTES * (_BEATS - (held >> _BEATS_AT & _BEATS_MASK))
    end = len(octets) - (held >> _EMPTY_AT & _EMPTY_MASK)
    return Packet(octets[begin:end], bool(held >> _ERROR_AT & 1))


class Spread(wiring.Component):
    """Packets become beats. Clock domain ``sync``, no latency, no bubbles.

    Members
    -------
    held : In(Held), flag : In(1), taken : Out(1)
        A packet is there while ``flag`` differs from ``taken``, which its last beat changes.
    o : Out(PacketStream)
        Its beats.
    """

    held: In(Held)
    flag: In(1)
    taken: Out(1)
    o: Out(PacketStream)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        at = Signal(range(_BEATS + 1))
        out, held = self.o.payload, self.held
        m.d.comb += [
            self.o.valid.eq(self.flag != self.taken),
            out.data.eq(held.octets.word_select(at, 8 * BEAT_BYTES)),
            out.last.eq(at + 1 == held.beats),
        ]
        with m.If(out.last):
            m.d.comb += [out.empty.eq(held.empty), out.error.eq(held.error)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(out.last):
                m.d.sync += [at.eq(0), self.taken.eq(self.flag)]
        return m


class Gather(wiring.Component):
    """Beats become packets. Clock domain ``sync``.

    Members
    -------
    i : In(PacketStream)
        The beats.
    take : In(1)
        Its ``ready``.
    held : Out(Held), flag : Out(1)
        ``flag`` changes with each packet, which then stands in ``held`` for one cycle. Its octets
        are those at the upper end.
    """

    i: In(PacketStream)
    take: In(1)
    held: Out(Held)
    flag: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        first = Signal(init=1)
        beat, held = self.i.payload, self.held
        m.d.comb += self.i.ready.eq(self.take)
        with m.If(self.i.valid & self.take):
            m.d.sync += [
                held.octets.eq(Cat(held.octets[8 * BEAT_BYTES :], beat.data)),
                held.beats.eq((held.beats & ~first.replicate(len(held.beats))) + 1),
                held.empty.eq(beat.empty),
                held.error.eq(beat.error),
                first.eq(beat.last),
                self.flag.eq(self.flag ^ beat.last),
            ]
        return m


class SlotSource:
    """Gives packets to a ``Spread``, as ``sim.models.streams.PacketSource`` does to a stream.

    Parameters
    ----------
    dut, name
        Where it is.
    """

    def __init__(self, dut, name: str) -> None:
        self._held, self._flag, self._taken = (
            getattr(dut, f"{name}__{member}") for member in ("held", "flag", "taken")
        )
        self._queue: deque[Packet] = deque()
        self._filled = Event()
        #: Or None.
        self.observer: Observer | None = None
        cocotb.start_soon(self._run())

    def put(self, value: Packet | bytes) -> None:
        """Queue a packet."""
        self._queue.append(value if isinstance(value, Packet) else Packet(bytes(value)))
        self._filled.set()

    async def _run(self) -> None:
        level = int(self._taken.value)
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            packet = self._queue.popleft()
            level ^= 1
            self._held.value = held_of(packet)
            self._flag.value = level
            await self._taken.value_change
            if self.observer is not None:
                self.observer(packet.data, get_sim_time("ns"))


class SlotSink:
    """Takes packets from a ``Gather``; stops while ``depth`` of them wait.

    Parameters
    ----------
    dut, name
        Where it is.
    depth
        Packets.
    """

    def __init__(self, dut, name: str, depth: int) -> None:
        self._held, self._flag, self._take = (
            getattr(dut, f"{name}__{member}") for member in ("held", "flag", "take")
        )
        self._depth = depth
        self._queue: deque[Packet] = deque()
        self._filled = Event()
        #: Or None.
        self.observer: Observer | None = None
        self._take.value = 1
        cocotb.start_soon(self._run())

    async def recv(self) -> Packet:
        """Wait for the next packet and take it."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        if len(self._queue) == self._depth:
            self._take.value = 1
        return self._queue.popleft()

    async def _run(self) -> None:
        while True:
            await self._flag.value_change
            packet = gathered(int(self._held.value))
            if self.observer is not None:
                self.observer(packet.data, get_sim_time("ns"))
            self._queue.append(packet)
            self._filled.set()
            if len(self._queue) >= self._depth:
                self._take.value = 0
