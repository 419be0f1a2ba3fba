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
    SLOT_WORDS,
    UNDERLAY_VNI,
    Descriptor,
    EndpointWords,
    KeyKind,
    OverlayConfig,
    PortRecord,
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


def _words(value: int, count: int) -> list[int]:
    """The 16-bit words of a number, most significant first."""
    return [value >> 16 * n & 0xFFFF for n in reversed(range(count))]


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
        self._slots: dict[int, tuple[list[int], list[int]]] = {}
        self._random = Random(0)
        self._templates: dict[tuple[bool, bool], int] = {}
        self._tunnels = 0
        words = _words(mac(self.mac), 3)
        self._write("tunnel.words", EndpointWords.MAC, words)
        self._write("tunnel.words", EndpointWords.IPV4, _words(int(ip_address(self.ipv4)), 2))
        self._write("tunnel.words", EndpointWords.IPV6, _words(int(ip_address(self.ipv6)), 8))
        self.neighbour(UNDERLAY_VNI, self.ipv4, self.mac)
        if self.config.ipv6:
            self.neighbour(UNDERLAY_VNI, self.ipv6, self.mac)

    def _write(self, path, first, values):
        self.writes += [(self.prefix + path, first + n, v) for n, v in enumerate(values)]

    def port(self, function: int, address: str, vni: int, addresses: tuple[str, ...]):
        """Open a function: its MAC address, its network and the IP addresses that it owns."""
        record = PortRecord(self.config)
        own = _words(mac(address), 3)
        head = [*own, vni & 0xFFFF, vni >> 16 | PortRecord.OPEN, *own]
        parsed = [ip_address(text) for text in addresses]
        ipv4 = [w for a in parsed if a.version == 4 for w in _address_words(int(a), 2)]
        ipv6 = [w for a in parsed if a.version == 6 for w in _address_words(int(a), 8)]
        base = function * record.size
        self._write("transmit.source.words", base, head)
        self._write("transmit.source.words", base + record.IPV4, ipv4)
        self._write("transmit.source.words", base + record.IPV6, ipv6)
        self._write("receive.steer.words", function * Steer.STRIDE, head[:5])

    def tunnel(self, tunnel: Tunnel) -> int:
        """Add a tunnel endpoint; returns its index."""
        layout = TunnelLayout(self.config)
        remote = ip_address(tunnel.remote)
        ipv6 = remote.version == 6
        index, self._tunnels = self._tunnels, self._tunnels + 1
        header = self._header(tunnel)
        key = (ipv6, tunnel.geneve)
        if key not in self._templates:
            template = self._templates[key] = len(self._templates)
            own = set(layout.OWN[ipv6])
            words = [0 if n in own else word for n, word in enumerate(header)]
            self._write("transmit.encapsulate.words", template * layout.TEMPLATE, words)
        base = layout.tunnels + index * layout.record
        for word in layout.OWN[ipv6]:
            position = word & 7 | (word >> 3) << 1
            self._write("transmit.encapsulate.words", base + position, [header[word]])
        partial = (
            0 if ipv6 else sum(w >> 16 for w in header[4:9]) + sum(w & 0xFFFF for w in header[4:9])
        )
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
        self._write("transmit.encapsulate.words", base + layout.descriptor, [value])
        return index

    def _header(self, tunnel):
        """The outer header as 32-bit words behind two bytes of nothing, varying fields zero."""
        ether = Ether(src=self.mac, dst=tunnel.next_hop)
        udp = UDP(sport=0, dport=6081 if tunnel.geneve else 4789, len=0, chksum=0)
        if ip_address(tunnel.remote).version == 6:
            ip = IPv6(src=self.ipv6, dst=tunnel.remote, hlim=64, plen=0)
        else:
            ip = IP(src=self.ipv4, dst=tunnel.remote, ttl=64, id=0, flags="DF", len=0, chksum=0)
        raw = bytes(2) + bytes(ether / ip / udp / Raw(_GENEVE if tunnel.geneve else _VXLAN))
        return [int.from_bytes(raw[n : n + 4], "big") for n in range(0, len(raw), 4)]

    def forward(self, vni: int, address: str, tunnel: int | None):
        """Map a MAC address to a tunnel, or to a function of this card (None)."""
        value = LOCAL if tunnel is None else tunnel
        key = [(mac(address) >> 16 * n) & 0xFFFF for n in range(3)]
        self._insert(KeyKind.MAC, vni, key, [value])

    def neighbour(self, vni: int, address: str, owner: str):
        """Let the card answer who has an IP address."""
        parsed = ip_address(address)
        kind, count = (KeyKind.IPV4, 2) if parsed.version == 4 else (KeyKind.IPV6, 8)
        key = [(int(parsed) >> 16 * n) & 0xFFFF for n in range(count)]
        self._insert(kind, vni, key, _words(mac(owner), 3))

    def replicas(self, function: int, members: list[int | None]):
        """Set a function's replication list: tunnels, and None for this card's functions."""
        values = [(LOCAL if member is None else member) | 1 << 16 for member in members]
        if len(values) < self.config.replicas:
            values.append(0)
        self._write("transmit.replicate.words", function * self.config.replicas, values)

    def _insert(self, kind, vni, key, value):
        """Put an entry into the table, moving others aside where they must (cuckoo hashing)."""
        low = [vni & 0xFFFF, *key, *value]
        flags = [kind.value] + [vni >> 16 + 2 * n & 3 for n in range(4)]
        flags += [0] * (len(low) - len(flags))
        entry = [word | flag << 16 for word, flag in zip(low, flags, strict=True)]
        digest = MAPPING_HASH.compute([*low[: 1 + len(key)], vni >> 16 | kind.value << 8])
        bits = (self.config.slots // 2).bit_length() - 1
        buckets = [digest & (1 << bits) - 1, digest >> 16 - bits]
        known = len(key) + 1
        for slot in sorted(self._slots):
            if slot // 2 in buckets and self._slots[slot][0][:known] == entry[:known]:
                self._store(slot, entry, buckets)
                return
        self._place(entry, buckets)

    def _place(self, entry, buckets, attempts=64):
        """Find room, moving others to their other bucket where they stand in the way."""
        wide = len(entry) > SLOT_WORDS
        for bucket in buckets:
            pair = [2 * bucket, 2 * bucket + 1]
            if wide and all(self._vacate([s], bucket) is not None for s in pair):
                self._store(pair[0], entry, buckets)
                return
        slots = [2 * bucket + n for bucket in buckets for n in (0, 1)]
        if not wide and (slot := self._vacate(slots)) is not None:
            self._store(slot, entry, buckets)
            return
        # Entries of two slots are in the way: what stands in a bucket looks for another place.
        if attempts:
            bucket = self._random.choice(buckets)
            held = [self._slots.pop(s) for s in (2 * bucket, 2 * bucket + 1) if s in self._slots]
            self._store(2 * bucket, entry, buckets)
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
            entry, buckets = self._slots[slot]
            if len(entry) > SLOT_WORDS:
                continue
            for bucket in buckets:
                for other in (2 * bucket, 2 * bucket + 1):
                    if bucket != forbidden and other not in came_from:
                        came_from[other] = slot
                        queue.append(other)
        return None

    def _store(self, slot, entry, buckets):
        """Write an entry; its first word last, so that it is never seen half written."""
        self._write("transmit.mapping.words", slot, [0])
        half = [entry[:SLOT_WORDS], entry[SLOT_WORDS:]]
        for offset, words in enumerate(half):
            if words:
                self._slots[slot + offset] = (entry, buckets)
            for n, word in reversed(list(enumerate(words))):
                self._write("transmit.mapping.words", n * self.config.slots + slot + offset, [word])

    async def apply(self, control):
        """Write all that was gathered through a ``ControlBus``."""
        for path, word, value in self.writes:
            await control.write_word(control.address(path) + word, value)
        self.writes.clear()


def _address_words(value, count):
    first, *rest = _words(value, count)
    return [first | PortRecord.VALID, *rest]
