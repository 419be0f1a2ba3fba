"""What can be asked of a card, in terms of addresses and names rather than of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from niter.interface import MAX_FUNCTIONS
from niter.net.drop import counter_names

from .client import CardError, Session
from .image import version_text
from .policy import Policy
from .protocol import CHUNK, COUNTERS, Command, Event, Health, Slot, Verdict

__all__ = ["Card", "Route", "Target", "Tunnel", "UpdateError", "Volume", "mac_bytes", "mac_text"]

_LOCAL = 1 << 15
_BANKS = ("transmit", "receive")
Address = IPv4Address | IPv6Address


def mac_bytes(text: str) -> bytes:
    """A MAC address' six bytes.

    Raises
    ------
    ValueError
        It is none.
    """
    parts = text.replace("-", ":").split(":")
    if len(parts) != 6 or any(len(part) != 2 for part in parts):
        raise ValueError(f"{text!r} is not a MAC address")
    return bytes(int(part, 16) for part in parts)


def mac_text(address: bytes) -> str:
    """Six bytes as people write them."""
    return address.hex(":")


class UpdateError(CardError):
    """The card would not start the image that it was given."""

    def __init__(self, verdict: int):
        known = verdict in set(Verdict)
        self.verdict = Verdict(verdict) if known else None
        super().__init__(f"The card refused the image: {self.verdict.name if known else verdict}")


@dataclass(frozen=True)
class Tunnel:
    """A remote tunnel endpoint.

    Parameters
    ----------
    remote
        Its address.
    next_hop
        MAC address that leads there.
    port
        Wire port.
    geneve
        GENEVE and not VXLAN.
    checksum
        Fill in the outer UDP checksum.
    """

    remote: Address
    next_hop: str
    port: int = 0
    geneve: bool = False
    checksum: bool = False

    def arguments(self) -> list[Any]:
        """As the protocol has it."""
        hop = mac_bytes(self.next_hop)
        return [self.remote.packed, hop, self.port, self.geneve, self.checksum]


@dataclass(frozen=True)
class Route:
    """Where a station of a network is. Without a tunnel it is a port of the card itself."""

    vni: int
    mac: str
    tunnel: int | None
    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class Target:
    """An AoE target.

    Parameters
    ----------
    mac, shelf, slot
        Who it is.
    port
        Wire port that leads there; the one behind the last is the tunnel.
    sectors, buffers
        That it takes in a frame, and frames that it takes at once.
    """

    mac: str
    shelf: int
    slot: int
    port: int = 0
    sectors: int = 2
    buffers: int = 16


@dataclass(frozen=True)
class Volume:
    """Sectors of a target, and the namespace that they are for a host.

    Parameters
    ----------
    number
        The card's for it.
    function, nsid
        The host's, and its name for it.
    target, first, length
        Where it lies, in sectors of 512 bytes.
    block_bytes
        512 or 4096.
    read_only
        It may not be written.
    iops, rate
        Requests and bytes a second that it may have; 0 is no limit.
    encrypted
        What the target has is encrypted: the card was given a key.
    """

    number: int
    function: int
    nsid: int
    target: Target
    first: int
    length: int
    block_bytes: int = 512
    read_only: bool = False
    iops: int = 0
    rate: int = 0
    encrypted: bool = False

    def arguments(self) -> list[Any]:
        """As the protocol has it."""
        at = self.target
        place = [mac_bytes(at.mac), at.port, at.shelf, at.slot, at.sectors, at.buffers]
        return [
            *(self.number, self.function, self.nsid, place, self.first, self.length),
            *(self.block_bytes, self.read_only, self.iops, self.rate),
        ]

    @classmethod
    def decode(cls, arguments: list[Any]) -> "Volume":
        """The other way."""
        number, function, nsid, (mac, port, shelf, slot, sectors, buffers), *rest = arguments
        target = Target(mac_text(mac), shelf, slot, port, sectors, buffers)
        return cls(number, function, nsid, target, *rest)


class Card:
    """A card with which a session is open.

    Parameters
    ----------
    session
        All methods raise what its ``request`` raises.
    """

    def __init__(self, session: Session):
        self._session = session

    def status(self) -> dict[str, Any]:
        """Version, name, times, sizes, health; and how the firmware keeps its time slices."""
        names = ("version", "name", "uptime_ms", "time_ms", "functions", "ports", "health")
        names += ("longest_slice_cycles", "job_stack_bytes", "slot")
        status = dict(zip(names, self._session.request(Command.STATUS), strict=True))
        status["version"] = version_text(status["version"])
        status["slot"] = Slot(status["slot"]).name.lower()
        status["health"] = [bit.name.lower() for bit in Health if status["health"] & bit]
        return status

    def counters(self) -> dict[str, dict[str, int]]:
        """The overlay's counters, by direction and name."""
        # As many as the network's functions, which are not all of a card's, and one for the card.
        names = {len(each): each for each in map(counter_names, range(1, MAX_FUNCTIONS + 1))}
        banks = {}
        for bank, direction in enumerate(_BANKS):
            values: list[int] = []
            page = [0] * COUNTERS
            while len(page) == COUNTERS:
                page = self._session.request(Command.COUNTERS, bank, len(values))
                values += page
            banks[direction] = dict(zip(names[len(values)], values, strict=True))
        return banks

    def ports(self) -> list[dict[str, Any]]:
        """The functions that are provisioned."""
        return [
            {
                "function": function,
                "mac": mac_text(mac),
                "vni": vni,
                "addresses": [str(ip_address(address)) for address in addresses],
                "rate": rate,
            }
            for function, mac, vni, addresses, rate in self._pages(Command.PORT_LIST)
        ]

    def add_port(
        self, function: int, mac: str, vni: int, addresses: tuple[Address, ...] = (), rate: int = 0
    ) -> None:
        """Provision a function, in the place of what it was before."""
        packed = [address.packed for address in addresses]
        self._session.request(Command.PORT_SET, function, mac_bytes(mac), vni, packed, rate)

    def remove_port(self, function: int) -> None:
        """Close a function."""
        self._session.request(Command.PORT_REMOVE, function)

    def _pages(self, command: Command) -> Iterator[list[Any]]:
        first = 0
        while first is not None:
            page, first = self._session.request(command, first)
            yield from page

    def routes(self) -> list[Route]:
        """Stations of all networks, each with its addresses."""
        targets: dict[tuple[int, bytes], int] = {}
        addresses: dict[tuple[int, bytes], list[Address]] = {}
        for vni, key, value in self._pages(Command.ROUTE_LIST):
            if isinstance(value, int):
                targets[vni, key] = value
            else:
                addresses.setdefault((vni, value), []).append(ip_address(key))
        return [
            Route(
                vni,
                mac_text(mac),
                None if target == _LOCAL else target,
                tuple(sorted(addresses.get((vni, mac), ()), key=lambda a: (a.version, int(a)))),
            )
            for (vni, mac), target in sorted(targets.items())
        ]

    def tunnels(self) -> dict[int, Tunnel]:
        """Tunnel endpoints by their index."""
        return {
            index: Tunnel(ip_address(remote), mac_text(hop), port, geneve, checksum)
            for index, remote, hop, port, geneve, checksum in self._pages(Command.TUNNEL_LIST)
        }

    def add_route(
        self, vni: int, mac: str, tunnel: Tunnel, addresses: tuple[Address, ...] = ()
    ) -> None:
        """Send frames for a station through a tunnel, and answer who has its addresses."""
        packed = [address.packed for address in addresses]
        self._session.request(Command.ROUTE_SET, vni, mac_bytes(mac), tunnel.arguments(), packed)

    def remove_route(self, vni: int, mac: str) -> None:
        """Forget a station."""
        self._session.request(Command.ROUTE_REMOVE, vni, mac_bytes(mac))

    def volumes(self) -> list[Volume]:
        """The volumes that are attached."""
        return [Volume.decode(arguments) for arguments in self._pages(Command.VOLUME_LIST)]

    def attach_volume(self, volume: Volume, key: bytes | None = None) -> None:
        """Give a host a volume, which appears there as a namespace.

        Parameters
        ----------
        volume
            ``encrypted`` is not looked at.
        key
            Both keys of XTS-AES-256, 64 bytes, that of the data first. None: data lies at the
            target as the host has given it.
        """
        keys = [] if key is None else [key]
        self._session.request(Command.VOLUME_ATTACH, *volume.arguments(), *keys)

    def detach_volume(self, number: int) -> None:
        """Take a volume away from its host."""
        self._session.request(Command.VOLUME_DETACH, number)

    def set_storage_tunnel(self, vni: int, remote: IPv4Address, next_hop: str) -> None:
        """Say where the tunnel leads that targets may be behind."""
        self._session.request(Command.VOLUME_TUNNEL, vni, remote.packed, mac_bytes(next_hop))

    def set_time(self, now_ms: int) -> None:
        """Tell the card the time: milliseconds since 1970."""
        self._session.request(Command.TIME_SET, now_ms)

    def log(self, first: int = 0) -> list[dict[str, Any]]:
        """The log's entries from number ``first`` on, as far as the card still has them."""
        entries: list[dict[str, Any]] = []
        while page := self._session.request(Command.LOG, first):
            for number, ms, event, argument in page:
                name = Event(event).name.lower() if event in set(Event) else str(event)
                entries.append({"number": number, "ms": ms, "event": name, "argument": argument})
                first = number + 1
        return entries

    def attest(self, nonce: bytes, user_data: bytes = b"") -> bytes:
        """A document for this nonce, which the card signs now."""
        length = self._session.request(Command.ATTEST, nonce, user_data)
        document = b""
        while len(document) < length:
            document += self._session.request(Command.ATTEST_READ, len(document))
        return document

    def update(self, image: bytes) -> Iterator[int]:
        """Replace the firmware from the next reset on; yields how many bytes the card has.

        Raises
        ------
        UpdateError
            The card would not start this image, and goes on with the one that it has.
        """
        self._session.request(Command.UPDATE_BEGIN, len(image))
        for at in range(0, len(image), CHUNK):
            self._session.request(Command.UPDATE_WRITE, at, image[at : at + CHUNK])
            yield min(at + CHUNK, len(image))
        verdict = self._session.request(Command.UPDATE_END)
        if verdict != Verdict.STARTED:
            raise UpdateError(verdict)

    def policy(self) -> Policy:
        """What is in the card's flash, which holds from its next reset."""
        return Policy.decode(self._session.request(Command.POLICY_READ))

    def write_policy(self, policy: Policy) -> None:
        """Replace the policy in flash."""
        self._session.request(Command.POLICY_WRITE, policy.encode())

    def reset(self) -> None:
        """Reset CPU, measurements and keys; all that was provisioned is gone after it."""
        self._session.request(Command.RESET)
