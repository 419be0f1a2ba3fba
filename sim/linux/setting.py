"""What every case has at hand: the card, its guests, and the peer on the wire."""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from sim.live.card import RunningCard
from sim.live.config import Host, LiveConfig
from sim.models.opening import Endpoint, Peer, Tenant, open_card

from .guest import Guest
from .namespace import UNDERLAY_MAC, Namespace
from .station import Station

__all__ = ["GUESTS", "NETWORKS", "PEERS", "Setting", "live_config"]

#: The tunnel endpoints.
CARD = Endpoint()
PEER_ADDRESS = "198.51.100.2"
#: Network of each guest's function, until a case puts both into one.
NETWORKS = (100, 200)


@dataclass(frozen=True)
class Address:
    """A guest's function: its MAC address, and its IP addresses in its own network and in 100."""

    mac: str
    ipv4: str
    ipv6: str
    shared: str


GUESTS = (
    Address("02:00:00:00:00:01", "10.0.0.1", "fd00::1", "10.9.0.1"),
    Address("02:00:00:00:00:02", "10.1.0.1", "fd01::1", "10.9.0.2"),
)
#: The peer's station in each network: MAC address, IPv4, IPv6.
PEERS = (
    ("02:00:00:00:01:01", "10.0.0.9", "fd00::9"),
    ("02:00:00:00:02:01", "10.1.0.9", "fd01::9"),
)


def _tenants(networks: tuple[int, ...]) -> tuple[Tenant, ...]:
    def local(mac: str) -> str:
        return f"fe80::ff:fe00:{int(mac.replace(':', ''), 16) & 0xFFFF:x}"

    return tuple(
        Tenant(guest.mac, vni, (guest.ipv4, guest.shared, guest.ipv6, local(guest.mac)), mtu=9000)
        for guest, vni in zip(GUESTS, networks, strict=True)
    )


def live_config(base: LiveConfig, wire: str, seed: int) -> LiveConfig:
    """The card of these tests: that of the example, opened for both guests."""
    peer = Peer(PEER_ADDRESS, UNDERLAY_MAC, stations=tuple(mac for mac, *_ in PEERS))
    return dataclasses.replace(
        base,
        host=Host(seed=seed, stall=0.02, latency=20, spread=60, split=0.5),
        endpoint=CARD,
        tenants=_tenants(NETWORKS),
        peers=(peer,),
        wires=(wire,),
    )


@dataclass
class Setting:
    """The running parts.

    Parameters
    ----------
    card, guests, peer
        Running.
    folder
        For what cases leave.
    notes
        Figures for the summary, by case.
    """

    card: RunningCard
    guests: list[Guest]
    peer: Namespace | Station
    folder: Path
    notes: dict[str, str] = field(default_factory=dict)

    def networks(self, *networks: int) -> None:
        """Put the functions into these networks."""
        config = self.card.config
        asyncio.run(
            open_card(
                self.card.control,
                config.card,
                endpoint=config.endpoint,
                tenants=_tenants(networks),
                peers=config.peers,
            )
        )


def start_peer(folder: Path, programs) -> Namespace | Station:
    """The best peer that can be had here."""
    if Namespace.possible():
        return Namespace(PEER_ADDRESS, CARD.ipv4, programs, folder)
    return Station(PEER_ADDRESS, UNDERLAY_MAC, CARD.ipv4, CARD.mac, folder)
