"""The mapping: where a frame's destination is, or who has the address it asks for."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameMeta, Verdict

from .config import OverlayConfig
from .lookup import KeyKind, Lookup
from .protocol import IpProtocol, NeighbourDiscovery

__all__ = ["LOCAL", "UNDERLAY_NETWORK", "UNDERLAY_VNI", "Mapping"]

#: In the value of a MAC entry: the destination is a function of this card. Otherwise the
#: value is the index of a tunnel endpoint.
LOCAL = 1 << 15

#: The network that frames of the underlay itself are looked up in; not for tenants.
UNDERLAY_NETWORK = 0xFF

#: What control software calls that network where it names networks by their identifiers.
UNDERLAY_VNI = 0xFFFFFF


class Mapping(wiring.Component):
    """Looks up a frame in the mapping table.

    A unicast frame by its network and destination MAC address: the entry is a destination.
    Without an entry the frame gets ``NO_MAPPING``.

    An ARP request or a neighbour solicitation by its network and the address asked for: an
    entry resolves it. Without one it goes on as the unicast or multicast frame that it is, and so
    do address probes (ARP from 0.0.0.0, solicitations from ``::``), which only the owner of an
    address may answer.

    Other multicast frames pass. A frame of the underlay that is not resolved gets
    ``NO_MAPPING``: the card has nothing else to say there.

    Latency is that of ``Lookup`` and 2 cycles; a frame that asks in vain and is unicast
    takes two searches.

    Parameters
    ----------
    config
        ``slots``, ``ipv6``.

    Members
    -------
    start : In(1)
        Begin with the frame of ``meta``, which must hold until ``done``.
    meta : In(FrameMeta)
        The frame.
    network : In(8)
        Its network, with ``network_known``, which may come later than ``start``.
    network_known : In(1)
        See ``network``.
    done : Out(1)
        The search has ended. It stays until the next ``start``, and so does what follows.
    destination : Out(16)
        A tunnel endpoint, or ``LOCAL``.
    resolved, neighbour : Out(1), Out(48)
        The frame asks for this link-layer address.
    verdict : Out(Verdict)
        ``PASS`` or ``NO_MAPPING``.
    bus : In(csr.Signature)
        Write access to the table.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._lookup = Lookup(config.slots, ipv6=config.ipv6)
        super().__init__(
            {
                "start": In(1),
                "meta": In(FrameMeta),
                "network": In(8),
                "network_known": In(1),
                "done": Out(1),
                "destination": Out(16),
                "resolved": Out(1),
                "neighbour": Out(48),
                "verdict": Out(Verdict),
                "bus": In(csr.Signature(addr_width=self._lookup.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._lookup.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.lookup = lookup = self._lookup
        connect(m, flipped(self.bus), lookup.bus)
        meta = self.meta
        headers = meta.headers

        asks4 = headers.arp & (headers.l4_source == 1) & ~headers.unspecified
        if self.config.ipv6:
            asks6 = (
                headers.ipv6
                & headers.l4
                & (headers.protocol == IpProtocol.ICMPV6)
                & (headers.l4_source[8:] == NeighbourDiscovery.NEIGHBOUR_SOLICITATION)
                & ~headers.unspecified
            )
            # The rest of it does not count where the key is an IPv4 address.
            low = Mux(headers.arp, headers.ip_destination[:32], headers.nd_target[:32])
            address = Cat(low, headers.nd_target[32:])
        else:
            asks6, address = 0, headers.ip_destination[:32]

        asking = Signal()
        found = Signal()
        multicast = headers.destination[40]
        m.d.comb += [
            lookup.network.eq(self.network | meta.underlay.replicate(8)),
            lookup.network_known.eq(self.network_known | meta.underlay),
            lookup.mac.eq(headers.destination),
            lookup.ip.eq(address),
            lookup.kind.eq(Mux(asking, Mux(headers.arp, KeyKind.IPV4, KeyKind.IPV6), KeyKind.MAC)),
            self.neighbour.eq(lookup.neighbour),
            self.destination.eq(lookup.destination),
        ]
        with m.If(~found & (meta.underlay | ~multicast)):
            m.d.comb += self.verdict.eq(Verdict.NO_MAPPING)

        def by_destination():
            m.d.sync += asking.eq(0)
            with m.If(meta.underlay | multicast):
                m.d.sync += self.done.eq(1)
                m.next = "Idle"
            with m.Else():
                m.next = "Start"

        with m.FSM():
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [found.eq(0), self.resolved.eq(0), self.done.eq(0)]
                with m.If(asks4 | asks6):
                    m.d.sync += asking.eq(1)
                    m.next = "Start"
                with m.Else():
                    by_destination()
            with m.State("Start"):
                m.d.comb += lookup.start.eq(1)
                m.next = "Search"
            with m.State("Search"), m.If(lookup.done):
                with m.If(asking & ~lookup.hit):
                    by_destination()
                with m.Else():
                    m.d.sync += [found.eq(lookup.hit), self.resolved.eq(asking), self.done.eq(1)]
                    m.next = "Idle"
        return m
