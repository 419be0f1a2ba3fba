"""What control software writes into the overlay's tables.

The layout of the tables is the gateware's (``niter.net``); the headers of a tunnel are
built by scapy. Writes are collected as (path of the table, word, value), so that a bench
without a bus master can apply them too.
"""

from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum

from niter.net import (
    LOCAL,
    MAPPING_HASH,
    UNDERLAY_NETWORK,
    Descriptor,
    EndpointWords,
    KeyKind,
    OverlayConfig,
    Peers,
    PortRecord,
    SlotLayout,
    Steer,
    TunnelLayout,
)

__all__ = ["OverlayTables", "TableFullError", "Tunnel", "fill_checksums", "mac"]

#: First words of the tunnels' own headers: the I flag of VXLAN; GENEVE, no options, Ethernet.
_VXLAN = bytes.fromhex("0800000000000000")
_GENEVE = bytes.fromhex("0000655800000000")


def mac(text: str) -> int:
    """A MAC address as a number, first byte most significant."""
    return int(text.replace(":", ""), 16)


def _slices(value: int, bits: int, count: int) -> list[int]:
    """A number in words, least significant first."""
    return [value >> bits * n & (1 << bits) - 1 for n in range(count)]


def _words(value: int, count: int, *, bits: int = 16) -> list[int]:
    """A number in words, most significant first."""
    return _slices(value, bits, count)[::-1]


def fill_checksums(frame: bytes, meta) -> bytes:
    """A frame as the buffer in front of the MAC sends it: its checksum slots filled in."""
    data = bytearray(frame)
    for slot in (meta.inner_checksum, meta.outer_checksum):
        if slot.enable:
            covered = bytes(data[slot.start :])
            value = checksum(covered) or 0xFFFF
            data[slot.position : slot.position + 2] = value.to_bytes(2, "big")
    return bytes(data)


class TableFullError(Exception):
    """No place could be made for an entry of the mapping table."""


@dataclass
class Tunnel:
    """A remote tunnel endpoint: its address, and the MAC address of the next hop there."""

    remote: str
    next_hop: str
    port: int = 0
    geneve: bool = False
    checksum: bool = False


@dataclass
class OverlayTables:
    """Gathers table writes for an overlay.

    Parameters
    ----------
    config
        Of the overlay.
    mac, ipv4, ipv6
        Addresses of the card's own tunnel endpoint.
    prefix
        Path in front of the overlay's own in the memory map, with a dot at its end.
    """

    config: OverlayConfig
    mac: str = "02:aa:00:00:00:01"
    ipv4: str = "192.0.2.1"
    ipv6: str = "2001:db8::1"
    prefix: str = ""
    writes: list[tuple[str, int, int]] = field(default_factory=list)

    def __post_init__(self):
        self._slots: dict[int, tuple] = {}
        self._random = Random(0)
        self._templates: dict[tuple[bool, bool], int] = {}
        self._tunnels = 0
        self._networks: dict[int, int] = {}
        self._peers: dict[int, list[int]] = {}
        self._layout = SlotLayout(ipv6=self.config.ipv6)
        for first, address, count in (
            (EndpointWords.MAC, mac(self.mac), 2),
            (EndpointWords.IPV4, int(ip_address(self.ipv4)), 1),
            (EndpointWords.IPV6, int(ip_address(self.ipv6)), 4),
        ):
            path = "tunnel.endpoint.words" if self.config.peers else "tunnel.words"
            self._write(path, first, _words(address, count, bits=32))
        self._neighbour(UNDERLAY_NETWORK, self.ipv4, self.mac)
        if self.config.ipv6:
            self._neighbour(UNDERLAY_NETWORK, self.ipv6, self.mac)

    def _write(self, path, first, values):
        self.writes += [(self.prefix + path, first + n, v) for n, v in enumerate(values)]

    def port(self, function: int, address: str, vni: int, addresses: tuple[str, ...]):
        """Open a function: its MAC address, its network and the IP addresses that it owns."""
        record = PortRecord(self.config)
        own = mac(address)
        network = self.network(vni) << record.NETWORK
        head = [own & 0xFFFFFFFF, own >> 32 | record.OPEN | network, vni]
        parsed = [ip_address(text) for text in addresses]
        ipv4 = [int(a) for a in parsed if a.version == 4]
        ipv6 = [w for a in parsed if a.version == 6 for w in _words(int(a), 4, bits=32)]
        base = function * record.size
        self._write("transmit.classify.ports.words", base, head)
        self._write("transmit.classify.ports.words", base + record.IPV4, ipv4)
        if self.config.ipv6:
            self._write("transmit.classify.ports.words", base + record.IPV6, ipv6)
        self._write("receive.steer.words", function * Steer.STRIDE, head)

    def network(self, vni: int) -> int:
        """The card's own number for a network."""
        return self._networks.setdefault(vni, len(self._networks))

    def tunnel(self, tunnel: Tunnel) -> int:
        """Add a tunnel endpoint; returns its index."""
        layout = TunnelLayout(self.config)
        remote = ip_address(tunnel.remote)
        ipv6 = remote.version == 6
        index, self._tunnels = self._tunnels, self._tunnels + 1
        if self.config.peers:
            self.peer(tunnel.remote)
        header = self._header(tunnel)
        beats = [header[n : n + 8] for n in range(0, len(header), 8)]
        key = (ipv6, tunnel.geneve)
        if key not in self._templates:
            template = self._templates[key] = len(self._templates)
            for n, beat in enumerate(beats):
                if n not in layout.OWN[ipv6]:
                    self._row(template * layout.TEMPLATE + n, beat)
        base = layout.tunnels + index * layout.record
        for n in layout.OWN[ipv6]:
            self._row(base + layout.own(n), beats[n])
        partial = 0
        if not ipv6:
            partial = sum(int.from_bytes(header[n : n + 2], "big") for n in range(14, 34, 2))
        descriptor = Descriptor.const(
            {
                "partial": partial % 0xFFFF,
                "template": self._templates[key],
                "port": tunnel.port,
                "ipv6": ipv6,
                "checksum": tunnel.checksum,
            }
        )
        value = descriptor.as_value().value
        self._row(base + layout.descriptor, value.to_bytes(8, "little"))
        return index

    def peer(self, address: str):
        """Let a tunnel endpoint send to the card."""
        parsed = ip_address(address)
        size = self.config.peers
        base = Peers.WAYS * (int(parsed) % (size // Peers.WAYS))
        if parsed.version == 6:
            words = _slices(int(parsed), 32, Peers.WAYS)
            self._write("tunnel.peers.words", size + base, words)
            return
        members = self._peers.setdefault(base, [])
        if int(parsed) not in members:
            if len(members) == Peers.WAYS:
                raise TableFullError
            members.append(int(parsed))
            self._write("tunnel.peers.words", base + len(members) - 1, members[-1:])

    def _row(self, row, octets):
        """Write eight bytes of the encapsulation stage's table."""
        octets = octets.ljust(8, b"\0")
        for column in range(2):
            word = int.from_bytes(octets[4 * column :][:4], "little")
            where = column * TunnelLayout(self.config).depth + row
            self._write("transmit.encapsulate.words", where, [word])

    def _header(self, tunnel):
        """The outer header, varying fields zero."""
        ether = Ether(src=self.mac, dst=tunnel.next_hop)
        udp = UDP(sport=0, dport=6081 if tunnel.geneve else 4789, len=0, chksum=0)
        if ip_address(tunnel.remote).version == 6:
            ip = IPv6(src=self.ipv6, dst=tunnel.remote, hlim=64, plen=0)
        else:
            ip = IP(src=self.ipv4, dst=tunnel.remote, ttl=64, id=0, flags="DF", len=0, chksum=0)
        return bytes(ether / ip / udp / Raw(_GENEVE if tunnel.geneve else _VXLAN))

    def forward(self, vni: int, address: str, tunnel: int | None):
        """Map a MAC address to a tunnel, or to a function of this card (None)."""
        value = LOCAL if tunnel is None else tunnel
        self._insert(KeyKind.MAC, self.network(vni), mac(address), value)

    def neighbour(self, vni: int, address: str, owner: str):
        """Let the card answer who has an IP address."""
        self._neighbour(self.network(vni), address, owner)

    def _neighbour(self, network, address, owner):
        parsed = ip_address(address)
        kind = KeyKind.IPV4 if parsed.version == 4 else KeyKind.IPV6
        self._insert(kind, network, int(parsed), mac(owner))

    def replicas(self, function: int, members: list[int | None]):
        """Set a function's replication list: tunnels, and None for this card's functions."""
        values = [(LOCAL if member is None else member) | 1 << 16 for member in members]
        if len(values) < self.config.replicas:
            values.append(0)
        self._write("transmit.replicate.words", function * self.config.replicas, values)

    def _insert(self, kind, network, key, value):
        """Put an entry into the table, moving others aside where they must (cuckoo hashing)."""
        place = self._layout
        head = kind.value << place.KIND.start | network << place.NETWORK.start
        if kind == KeyKind.IPV6:
            cut = place.IPV6_LOW.stop - place.IPV6_LOW.start
            low = key & (1 << cut) - 1
            rows = [head | low << place.IPV6_LOW.start]
            rows.append(key >> cut << place.IPV6_HIGH.start | value << place.NEIGHBOUR.start)
        else:
            where, what = place.IPV4, place.NEIGHBOUR
            if kind == KeyKind.MAC:
                where, what = place.MAC, place.DESTINATION
            rows = [head | key << where.start | value << what.start]
        entry = [tuple(_slices(row, place.WORD, place.words)) for row in rows]
        length = {KeyKind.MAC: 3, KeyKind.IPV4: 2, KeyKind.IPV6: 8}[kind]
        words = [*_slices(key, 16, length), network | kind.value << 8]
        digest = MAPPING_HASH.compute(words)
        bits = (self.config.slots // 2).bit_length() - 1
        buckets = [digest & (1 << bits) - 1, digest >> 16 - bits]
        identity = (kind, network, key)
        for slot in sorted(self._slots):
            if self._slots[slot][2] == identity:
                self._store(slot & ~1 if len(entry) > 1 else slot, entry, buckets, identity)
                return
        self._place(entry, buckets, identity)

    def _place(self, entry, buckets, identity, attempts=64):
        """Find room, moving others to their other bucket where they stand in the way."""
        wide = len(entry) > 1
        for bucket in buckets:
            pair = [2 * bucket, 2 * bucket + 1]
            if wide and all(self._vacate([s], bucket) is not None for s in pair):
                self._store(pair[0], entry, buckets, identity)
                return
        slots = [2 * bucket + n for bucket in buckets for n in (0, 1)]
        if not wide and (slot := self._vacate(slots)) is not None:
            self._store(slot, entry, buckets, identity)
            return
        # Entries of two slots are in the way: what stands in a bucket looks for another place.
        if attempts:
            bucket = self._random.choice(buckets)
            held = [self._slots.pop(s) for s in (2 * bucket, 2 * bucket + 1) if s in self._slots]
            self._store(2 * bucket, entry, buckets, identity)
            for n, other in enumerate(held):
                if other not in held[:n]:
                    self._place(*other, attempts - 1)
            return
        raise TableFullError

    def _vacate(self, slots, forbidden=None):
        """Make one of the slots free by the shortest row of moves; None if there is none.

        ``forbidden`` is a bucket that nothing may move into.
        """
        came_from: dict[int, int | None] = dict.fromkeys(slots)
        queue = deque(slots)
        while queue:
            slot = queue.popleft()
            if slot not in self._slots:
                while (before := came_from[slot]) is not None:
                    self._store(slot, *self._slots.pop(before))
                    slot = before
                return slot
            entry, buckets, _ = self._slots[slot]
            if len(entry) > 1:
                continue
            for bucket in buckets:
                for other in (2 * bucket, 2 * bucket + 1):
                    if bucket != forbidden and other not in came_from:
                        came_from[other] = slot
                        queue.append(other)
        return None

    def _store(self, slot, entry, buckets, identity):
        """Write an entry; its first word last, so that it is never seen half written."""
        self._write("transmit.classify.mapping.words", slot, [0])
        for offset, words in reversed(list(enumerate(entry))):
            self._slots[slot + offset] = (entry, buckets, identity)
            for n, word in reversed(list(enumerate(words))):
                where = n * self.config.slots + slot + offset
                self._write("transmit.classify.mapping.words", where, [word])

    async def apply(self, control):
        """Write all that was gathered through a ``ControlBus``."""
        for path, word, value in self.writes:
            await control.write_word(control.address(path) + word, value)
        self.writes.clear()
