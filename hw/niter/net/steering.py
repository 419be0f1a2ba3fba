"""The steering room between the MACs and what uses them: tunnels, storage, management."""

from collections.abc import Sequence

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import BEAT_BYTES, FrameBeat, FrameStream
from niter.stream import Arbiter, PipeRegister, SkidBuffer

from .protocol import EtherType, IpProtocol

__all__ = ["SERVICES", "Steering"]

#: What may use the wire beside the overlay.
SERVICES = ("management", "storage")

#: Beats that are looked at: an ARP request ends in the sixth.
_HEADER_BEATS = 6


class _Frame:
    """Fields of a frame by the beat in which they stand, most significant byte first."""

    def __init__(self, packet):
        self._packet = packet

    def field(self, at: int, size: int):
        """Bytes ``at`` to ``at + size``, which share a beat."""
        first = at % BEAT_BYTES
        return Cat(self._packet.data.word_select(first + n, 8) for n in reversed(range(size)))


class Steering(wiring.Component):
    """Shares the wire between the overlay and the services of the card itself.

    From the wire, a frame goes to

    - ``storage`` when its EtherType is that of ATA over Ethernet;
    - ``management`` when it is sent to the card's own MAC address and, over IPv4 without options
      to the card's own address, is ICMP or UDP to the management port; or when it is ARP
      for that address;
    - the overlay otherwise.

    A service has no hold over the wire: a frame for one that is not ready when its first beat could
    leave is discarded whole, and counted. One that has taken a first beat takes the rest.
    To the wire, whole frames take turns.

    Only the wire is connected here. What functions send reaches no service, and what
    services send reaches no function.

    Latency 7 cycles from the wire, 1 or 2 to it, one beat a cycle. With no service there is
    nothing between the wire and the overlay.

    Parameters
    ----------
    services
        Which of ``SERVICES`` there are.

    Members
    -------
    i_wire : In(FrameStream)
        Frames from the wire. Meta: ``length``, ``port`` and what else the MAC sets.
    o_overlay : Out(FrameStream)
        Those that may be tunnelled.
    i_overlay : In(FrameStream)
        Frames of the overlay for the wire, or with ``meta.local``.
    o_wire : Out(FrameStream)
        Frames to the wire.
    o_<service> : Out(FrameStream)
        Frames from the wire for the service.
    i_<service> : In(FrameStream)
        Frames of the service to the wire. Meta: ``length``, ``port``, ``inner_checksum``.
    csr : In(csr.Signature)
        Registers ``mac_low``, ``mac_high``, ``ipv4``, ``listener`` and ``dropped``.

    Raises
    ------
    ValueError
        A service is unknown or named twice.
    """

    class MacLow(csr.Register, access="rw"):
        """The card's own MAC address for management, low half."""

        address: csr.Field(csr.action.RW, 32, doc="Bits 31:0.")

    class MacHigh(csr.Register, access="rw"):
        """The card's own MAC address for management, high half."""

        address: csr.Field(csr.action.RW, 16, doc="Bits 47:32.")

    class Ipv4(csr.Register, access="rw"):
        """The card's own IPv4 address for management."""

        address: csr.Field(csr.action.RW, 32, doc="First byte highest.")

    class Listener(csr.Register, access="rw"):
        """Where management listens."""

        port: csr.Field(csr.action.RW, 16, doc="UDP port.")
        enable: csr.Field(csr.action.RW, 1, doc="Management gets its frames.")

    class Dropped(csr.Register, access="r"):
        """Frames that a service had no room for, modulo 65536."""

        management: csr.Field(csr.action.R, 16, doc="For management.")
        storage: csr.Field(csr.action.R, 16, doc="For storage.")

    def __init__(self, services: Sequence[str] = SERVICES):
        if len(set(services)) != len(services) or not set(services) <= set(SERVICES):
            raise ValueError(f"Services are some of {', '.join(SERVICES)}, not {services!r}")
        self.services = tuple(name for name in SERVICES if name in services)
        self._registers = {
            "mac_low": self.MacLow(),
            "mac_high": self.MacHigh(),
            "ipv4": self.Ipv4(),
            "listener": self.Listener(),
            "dropped": self.Dropped(),
        }
        builder = csr.Builder(addr_width=ceil_log2(len(self._registers)))
        for name, register in self._registers.items():
            builder.add(name, register)
        self._bridge = csr.Bridge(builder.as_memory_map())
        members = {
            "i_wire": In(FrameStream),
            "o_overlay": Out(FrameStream),
            "i_overlay": In(FrameStream),
            "o_wire": Out(FrameStream),
            "csr": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
        }
        for name in self.services:
            members |= {f"o_{name}": Out(FrameStream), f"i_{name}": In(FrameStream)}
        super().__init__(members)
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        if not self.services:
            connect(m, flipped(self.i_wire), flipped(self.o_overlay))
            connect(m, flipped(self.i_overlay), flipped(self.o_wire))
            return m
        self._from_wire(m)
        self._to_wire(m)
        return m

    def _to_wire(self, m):
        m.submodules.turns = turns = Arbiter(FrameBeat, 1 + len(self.services))
        connect(m, flipped(self.i_overlay), turns.i[0])
        for n, name in enumerate(self.services, 1):
            source = getattr(self, f"i_{name}")
            m.d.comb += [
                turns.i[n].payload.packet.eq(source.payload.packet),
                turns.i[n].valid.eq(source.valid),
                source.ready.eq(turns.i[n].ready),
            ]
            for field in ("length", "port", "inner_checksum"):
                m.d.comb += turns.i[n].payload.meta[field].eq(source.payload.meta[field])
        connect(m, turns.o, flipped(self.o_wire))

    def _from_wire(self, m):
        # A frame's beats wait until those that decide about it have been seen.
        stalled = Signal()
        upstream = self.i_wire
        row = []
        for n in range(_HEADER_BEATS):
            # The last one cuts the way back; the others only pass it on.
            kind = SkidBuffer if n == _HEADER_BEATS - 1 else PipeRegister
            m.submodules[f"delay_{n}"] = delay = kind(FrameBeat)
            if row:
                connect(m, row[-1].o, delay.i)
            row.append(delay)
        m.d.comb += [
            row[0].i.payload.eq(upstream.payload),
            row[0].i.valid.eq(upstream.valid & ~stalled),
            upstream.ready.eq(row[0].i.ready & ~stalled),
        ]
        oldest = row[-1].o

        # The frame that arrives: what has been seen of it, then where it goes.
        beat = Signal(range(_HEADER_BEATS))
        looking = Signal(init=1)
        verdict = self._look(m, upstream.payload.packet, beat)
        known = Signal()
        arrived = Signal(range(1 + len(self.services)))
        leaving = Signal.like(arrived)
        inside = Signal()
        take = Signal()
        transfer = Signal()
        last = upstream.payload.packet.last
        decides = looking & ((beat == _HEADER_BEATS - 1) | last)
        m.d.comb += [
            # One decision waits; the next is not made before it has been taken.
            stalled.eq(decides & known & ~take),
            transfer.eq(upstream.valid & upstream.ready),
        ]
        with m.If(take):
            m.d.sync += known.eq(0)
        with m.If(transfer):
            m.d.sync += beat.eq(beat + looking)
            with m.If(decides):
                m.d.sync += [known.eq(1), arrived.eq(verdict), looking.eq(0)]
            with m.If(last):
                m.d.sync += [beat.eq(0), looking.eq(1)]

        # The frame that leaves.
        discard = Signal()
        outputs = [self.o_overlay, *(getattr(self, f"o_{name}") for name in self.services)]
        ready = Signal()
        dropped = self._registers["dropped"].f
        m.d.comb += [
            take.eq(known & ~inside & oldest.valid),
            oldest.ready.eq(inside & (ready | discard)),
        ]
        with m.If(take):
            m.d.sync += [inside.eq(1), leaving.eq(arrived), discard.eq(0)]
        for n, output in enumerate(outputs):
            m.d.comb += [
                output.payload.eq(oldest.payload),
                output.valid.eq(oldest.valid & inside & ~discard & (leaving == n)),
            ]
            with m.If(leaving == n):
                m.d.comb += ready.eq(output.ready)
            if n:
                name = self.services[n - 1]
                count = Signal(16, name=f"dropped_{name}")
                m.d.comb += getattr(dropped, name).r_data.eq(count)
                with m.If(take & (arrived == n) & ~output.ready):
                    m.d.sync += [discard.eq(1), count.eq(count + 1)]
        with m.If(oldest.valid & oldest.ready & oldest.payload.packet.last):
            m.d.sync += inside.eq(0)

    def _look(self, m, packet, beat):
        """Where the frame goes, right with the beat that decides."""
        field = _Frame(packet).field
        own = {name: register.f for name, register in self._registers.items()}
        address = own["ipv4"].address.data
        index = {name: n for n, name in enumerate(self.services, 1)}

        # What holds of the beats before this one, and what with it.
        facts = ("mac", "ipv4", "arp", "aoe", "udp", "icmp", "high", "port", "ours")
        before = Signal(len(facts))
        now = Signal(len(facts))
        was = dict(zip(facts, before, strict=True))
        holds = dict(zip(facts, now, strict=True))
        m.d.comb += now.eq(before)
        with m.If(self.i_wire.valid & self.i_wire.ready):
            m.d.sync += before.eq(now)
            with m.If(packet.last):
                m.d.sync += before.eq(0)
        mac = Cat(own["mac_low"].address.data, own["mac_high"].address.data)
        with m.Switch(beat):
            with m.Case(0):
                m.d.comb += holds["mac"].eq(field(0, 6) == mac)
            with m.Case(1):
                kind = field(12, 2)
                plain = field(14, 1) == 0x45
                m.d.comb += [
                    holds["ipv4"].eq((kind == EtherType.IPV4) & plain),
                    holds["arp"].eq(kind == EtherType.ARP),
                    holds["aoe"].eq(kind == EtherType.AOE),
                ]
            with m.Case(2):
                whole = (field(20, 2) & 0x3FFF) == 0
                protocol = field(23, 1)
                m.d.comb += [
                    holds["udp"].eq((protocol == IpProtocol.UDP) & whole),
                    holds["icmp"].eq((protocol == IpProtocol.ICMP) & whole),
                ]
            with m.Case(3):
                m.d.comb += holds["high"].eq(field(30, 2) == address[16:])
            with m.Case(4):
                low = was["high"] & (field(32, 2) == address[:16])
                port = field(36, 2) == own["listener"].port.data
                m.d.comb += [
                    holds["port"].eq(port),
                    holds["ours"].eq(Mux(was["arp"], field(38, 2) == address[16:], low)),
                ]
            with m.Case(5), m.If(was["arp"]):
                m.d.comb += holds["ours"].eq(was["ours"] & (field(40, 2) == address[:16]))

        target = Signal(range(1 + len(self.services)))
        if "management" in index:
            speaks = holds["icmp"] | (holds["udp"] & holds["port"])
            listens = holds["arp"] | (holds["ipv4"] & holds["mac"] & speaks)
            # Ending before this beat, no frame has an address.
            with m.If(own["listener"].enable.data & listens & holds["ours"] & (beat == 5)):
                m.d.comb += target.eq(index["management"])
        if "storage" in index:
            with m.If(holds["aoe"]):
                m.d.comb += target.eq(index["storage"])
        return target
