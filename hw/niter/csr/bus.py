"""The register bus: 32-bit words, one access a cycle, no waiting."""

from collections.abc import Mapping

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory import MemoryMap

__all__ = ["DATA_WIDTH", "SPAN_LATENCY", "Decoder", "Interface", "Signature", "decoder_of"]

#: Bits in a word, the only size of access.
DATA_WIDTH = 32
#: Latency of a bus that spans a card: what goes into a room and what comes out of it is kept at its
#: border, for else all of it would have to be near the processor.
SPAN_LATENCY = 3


class Signature(wiring.Signature):
    """A register bus, seen from its master.

    Rules: ``r_stb`` or ``w_stb`` is high for one cycle an access, with ``addr`` (and
    ``w_data``) valid in it. ``r_data`` is valid ``latency`` cycles after ``r_stb``, and zero in
    every cycle in which it answers nothing, so that buses are joined by OR alone.

    Parameters
    ----------
    addr_width
        Width of the word address.
    latency
        Cycles from ``r_stb`` to ``r_data``, one or more.

    Members
    -------
    addr : Out(addr_width)
        Word address.
    r_stb : Out(1)
        Read that word.
    r_data : In(32)
        What was read, ``latency`` cycles later.
    w_stb : Out(1)
        Write that word.
    w_data : Out(32)
        What is written.
    """

    def __init__(self, *, addr_width: int, latency: int = 1):
        if latency < 1:
            raise ValueError(f"An answer takes a cycle or more, not {latency!r}")
        self.addr_width = addr_width
        self.latency = latency
        super().__init__(
            {
                "addr": Out(addr_width),
                "r_stb": Out(1),
                "r_data": In(DATA_WIDTH),
                "w_stb": Out(1),
                "w_data": Out(DATA_WIDTH),
            }
        )

    def create(self, *, path=None, src_loc_at=0) -> "Interface":
        """Make the signals of one bus."""
        return Interface(self, path=path, src_loc_at=1 + src_loc_at)

    def __eq__(self, other):
        return (
            isinstance(other, Signature)
            and other.addr_width == self.addr_width
            and other.latency == self.latency
        )

    def __repr__(self):
        return f"csr.Signature(addr_width={self.addr_width}, latency={self.latency})"


class Interface(wiring.PureInterface):
    """One register bus, and the map of what can be reached through it."""

    def __init__(self, signature: Signature, *, path=None, src_loc_at=0):
        super().__init__(signature, path=path, src_loc_at=1 + src_loc_at)
        self._memory_map: MemoryMap | None = None

    @property
    def addr_width(self) -> int:
        """Width of the word address."""
        return self.signature.addr_width

    @property
    def latency(self) -> int:
        """Cycles from ``r_stb`` to ``r_data``."""
        return self.signature.latency

    @property
    def memory_map(self) -> MemoryMap:
        """What can be reached through this bus; set once, by the component that owns it."""
        if self._memory_map is None:
            raise AttributeError(f"The bus {self!r} has no memory map yet")
        return self._memory_map

    @memory_map.setter
    def memory_map(self, memory_map: MemoryMap):
        if memory_map.addr_width != self.addr_width:
            raise ValueError(
                f"The memory map has {memory_map.addr_width} address bits, "
                f"the bus {self.addr_width}"
            )
        self._memory_map = memory_map


class Decoder(wiring.Component):
    """Joins register buses into one, each at an address aligned to its size.

    Strobes are decoded and answers are joined combinationally. Of a bus that has less latency than
    ``bus`` the answers are kept in flip-flops first, and, where it has two cycles less or more, its
    accesses too. A read that hits nothing returns zero, a write that hits nothing is ignored.

    Parameters
    ----------
    addr_width
        Width of the word address of ``bus``.
    latency
        Of ``bus``; that of the slowest bus behind it, or more.

    Members
    -------
    bus : In(Signature(addr_width=addr_width, latency=latency))
        The joined bus.

    Raises
    ------
    ValueError
        From ``add``: a bus has more latency.
    """

    def __init__(self, *, addr_width: int, latency: int = 1):
        super().__init__({"bus": In(Signature(addr_width=addr_width, latency=latency))})
        self._map = MemoryMap(addr_width=addr_width)
        self._buses: list[tuple[Interface, int]] = []
        self.bus.memory_map = self._map

    def add(self, bus: Interface, *, name: str, addr: int | None = None) -> Interface:
        """Put ``bus`` behind this decoder, at word ``addr`` or at the next free one."""
        if bus.latency > self.bus.latency:
            raise ValueError(
                f"The bus {name!r} answers after {bus.latency} cycles, "
                f"the joined one after {self.bus.latency}"
            )
        start, _ = self._map.add_window(bus.memory_map, name=name, addr=addr)
        self._buses.append((bus, start))
        return bus

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        answer = 0
        for number, (bus, start) in enumerate(self._buses):
            width = bus.addr_width
            hit = Signal(name=f"hit_{number}")
            spare = self.bus.latency - bus.latency
            m.d.comb += hit.eq(self.bus.addr[width:] == start >> width)
            early = spare > 1
            m.d["sync" if early else "comb"] += [
                bus.addr.eq(self.bus.addr[:width]),
                bus.r_stb.eq(self.bus.r_stb & hit),
                bus.w_stb.eq(self.bus.w_stb & hit),
                bus.w_data.eq(self.bus.w_data),
            ]
            shown = bus.r_data
            for stage in range(spare - early):
                kept = Signal(DATA_WIDTH, name=f"answer_{number}_{stage}")
                m.d.sync += kept.eq(shown)
                shown = kept
            answer |= shown
        m.d.comb += self.bus.r_data.eq(answer)
        return m


def decoder_of(buses: Mapping[str, Interface], *, latency: int | None = None) -> Decoder:
    """Join buses in the smallest address space that holds them, the largest first.

    Parameters
    ----------
    buses
        By name.
    latency
        Of the joined bus; when not given, that of the slowest.
    """
    ordered = sorted(buses.items(), key=lambda item: -item[1].addr_width)
    words = sum(1 << bus.addr_width for _, bus in ordered)
    if latency is None:
        latency = max((bus.latency for bus in buses.values()), default=1)
    decoder = Decoder(addr_width=ceil_log2(words) if words else 0, latency=latency)
    for name, bus in ordered:
        decoder.add(bus, name=name)
    return decoder
