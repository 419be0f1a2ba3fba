"""The mapping stage: where a frame's destination is, or who has the address it asks for."""

from amaranth import Module, Mux, Signal

from niter.interface import Verdict

from .config import OverlayConfig
from .lookup import KeyKind, Lookup
from .protocol import IpProtocol, NeighbourDiscovery
from .stage import Stage

__all__ = ["LOCAL", "Mapping"]

#: In the value of a MAC entry: the destination is a function of this card. Otherwise the
#: value is the index of a tunnel endpoint.
LOCAL = 1 << 15


class Mapping(Stage):
    """Looks up every frame in the mapping table.

    A unicast frame by its network and destination MAC address: the entry sets
    ``meta.tunnel``, or ``meta.local``. Without an entry the frame gets ``NO_MAPPING``.

    An ARP request or a neighbour solicitation by its network and the address asked for: an
    entry sets ``meta.resolved`` and ``meta.neighbour``. Without one it goes on as the
    unicast or multicast frame that it is, and so do address probes (ARP from 0.0.0.0,
    solicitations from ``::``), which only the owner of an address may answer.

    Other multicast frames pass. A frame of the underlay that is not resolved gets
    ``NO_MAPPING``: the card has nothing else to say there.

    Latency is that of ``Lookup`` and 2 cycles; a frame that asks in vain and is unicast
    takes two searches.

    Parameters
    ----------
    config
        ``slots``, ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._lookup = Lookup(config.slots, ipv6=config.ipv6)
        super().__init__(blocks={"mapping": self._lookup})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        decided = self.gate(m)
        lookup = self._lookup
        meta = self.i.payload.meta
        headers = meta.headers
        out = self.o.payload.meta

        asks4 = headers.arp & (headers.l4_source == 1) & ~headers.unspecified
        if self.config.ipv6:
            asks6 = (
                headers.ipv6
                & headers.l4
                & (headers.protocol == IpProtocol.ICMPV6)
                & (headers.l4_source[8:] == NeighbourDiscovery.NEIGHBOUR_SOLICITATION)
                & ~headers.unspecified
            )
            address = Mux(headers.arp, headers.ip_destination[:32], headers.nd_target)
        else:
            asks6, address = 0, headers.ip_destination[:32]

        asking = Signal()
        resolved = Signal()
        found = Signal()
        multicast = headers.destination[40]
        m.d.comb += [
            lookup.vni.eq(meta.vni),
            lookup.mac.eq(headers.destination),
            lookup.ip.eq(address),
            lookup.kind.eq(Mux(asking, Mux(headers.arp, KeyKind.IPV4, KeyKind.IPV6), KeyKind.MAC)),
            out.resolved.eq(resolved),
            out.neighbour.eq(lookup.value),
        ]
        with m.If(meta.verdict == Verdict.PASS):
            with m.If(found & ~resolved):
                m.d.comb += [
                    out.tunnel.eq(lookup.value),
                    out.local.eq((lookup.value & LOCAL).any()),
                ]
            with m.If(~found & (meta.underlay | ~multicast)):
                m.d.comb += out.verdict.eq(Verdict.NO_MAPPING)

        def by_destination():
            m.d.sync += [asking.eq(0)]
            with m.If(meta.underlay | multicast):
                m.d.sync += decided.eq(1)
                m.next = "Wait"
            with m.Else():
                m.next = "Start"

        with m.FSM():
            with m.State("Wait"):
                with m.If(~decided):
                    m.d.sync += [found.eq(0), resolved.eq(0)]
                with m.If(self.i.valid & ~decided):
                    with m.If(meta.verdict != Verdict.PASS):
                        m.d.sync += decided.eq(1)
                    with m.Elif(asks4 | asks6):
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
                    m.d.sync += [found.eq(lookup.hit), resolved.eq(asking), decided.eq(1)]
                    m.next = "Wait"
        return m
