"""How a card is opened: what its processor writes before hosts may use it.

Benches do it through the pins, the running card through its socket.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from niter.card import CardConfig
from niter.interface import MAX_PACKET_BYTES
from sim.models.control import Registers
from sim.models.overlay import OverlayTables, Tunnel, mac

__all__ = ["Endpoint", "Peer", "Tenant", "open_card"]

#: Words of a device's configuration structure; the second also holds its status.
_MAC_LOW, _MAC_HIGH, _MTU = 0, 1, 2
_LINK_UP = 1 << 16
#: The longest outer header: Ethernet, IPv6, UDP, VXLAN.
_TUNNEL_BYTES = 14 + 40 + 8 + 8


@dataclass(frozen=True)
class Endpoint:
    """The card's own tunnel endpoint."""

    mac: str = "02:aa:00:00:00:01"
    ipv4: str = "198.51.100.1"
    ipv6: str = "2001:db8:ffff::1"


@dataclass(frozen=True)
class Tenant:
    """What a function of the card is to its overlay."""

    address: str
    vni: int
    addresses: tuple[str, ...]
    mtu: int = 1500


@dataclass(frozen=True)
class Peer:
    """A tunnel endpoint somewhere on the underlay, and the stations behind it."""

    vtep: str
    next_hop: str
    port: int = 0
    stations: tuple[str, ...] = ()


async def open_card(
    control: Registers,
    config: CardConfig,
    *,
    endpoint: Endpoint,
    tenants: Sequence[Tenant],
    peers: Sequence[Peer],
) -> None:
    """Tables, MACs, configuration structures, release.

    Parameters
    ----------
    control
        The card's control bus.
    config
        The card's.
    endpoint
        Its own addresses on the underlay.
    tenants
        One for each function in use.
    peers
        Of the underlay; every tenant's network reaches all of them.
    """
    tables = OverlayTables(
        config.overlay, mac=endpoint.mac, ipv4=endpoint.ipv4, ipv6=endpoint.ipv6, prefix="overlay."
    )
    tunnels = [tables.tunnel(Tunnel(peer.vtep, peer.next_hop, port=peer.port)) for peer in peers]
    for number, tenant in enumerate(tenants):
        tables.port(number, tenant.address, tenant.vni, tenant.addresses)
        tables.forward(tenant.vni, tenant.address, None)
        neighbours = [n for n, other in enumerate(tenants) if other.vni == tenant.vni]
        tables.replicas(number, tunnels + ([None] if len(neighbours) > 1 else []))
        await _configure(control, number, tenant)
    for vni in {tenant.vni for tenant in tenants}:
        for tunnel, peer in zip(tunnels, peers, strict=True):
            for station in peer.stations:
                tables.forward(vni, station, tunnel)
    await tables.apply(control)
    await control.write("overlay.transmit.size.limit", frame=config.frame_bytes - _TUNNEL_BYTES)
    for number in range(config.ports):
        await control.write(
            f"mac_{number}.registers.control",
            receive=1,
            transmit=1,
            honour_pause=1,
            longest=min(config.frame_bytes, MAX_PACKET_BYTES),
        )
    await control.write("card.release", functions=(1 << len(tenants)) - 1)


async def _configure(control: Registers, number: int, tenant: Tenant) -> None:
    """Write a function's MAC address, link state and MTU."""
    address = mac(tenant.address).to_bytes(6, "big")
    low = int.from_bytes(address[:4], "little")
    high = int.from_bytes(address[4:], "little") | _LINK_UP
    for word, value in ((_MAC_LOW, low), (_MAC_HIGH, high), (_MTU, tenant.mtu << 16)):
        await control.write("net.config.select", word=word, function=number)
        await control.write("net.config.value", value=value)
