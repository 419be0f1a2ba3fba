"""How a storage card is opened: volumes and their targets, the wire, release.

What ``sim.models.opening`` is to a network card. Namespaces are the admin firmware's, which
attaches them itself; disks of virtio functions are given to them here.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from niter.card import CardConfig
from niter.storage import VolumeMode, VolumeRecord
from niter.storage.aoe import HAS_TARGET, TargetRecord
from niter.virtio.blk import BlkWord
from sim.models.control import Registers

__all__ = [
    "Disk",
    "Place",
    "StorageTunnel",
    "attach_disk",
    "open_storage",
    "write_disk_word",
]


class Target(Protocol):
    """What has to be known of a target: see ``Place``."""

    mac: str
    shelf: int
    slot: int
    sectors: int
    buffers: int


@dataclass(frozen=True)
class Place:
    """A volume, and where it lies.

    Parameters
    ----------
    volume
        Its number.
    target
        Number of its target on the card.
    mac, shelf, slot
        Who that is.
    sectors, buffers
        That it takes in a frame, and frames that it takes at once.
    first, length
        The volume's sectors at the target.
    read_only
        It may not be written.
    key
        Slot of its keys, on a card that encrypts; None: its data is as the host gave it.
    port
        The wire's, or behind the last of these the tunnel.
    """

    volume: int
    target: int
    mac: str
    shelf: int
    slot: int
    sectors: int
    buffers: int
    first: int
    length: int
    read_only: bool = False
    key: int | None = None
    port: int = 0

    @classmethod
    def at(
        cls, number: int, target: Target, *, first: int, length: int, read_only: bool = False
    ) -> "Place":
        """Volume ``number`` at a target that has the same number on the card."""
        return cls(
            volume=number,
            target=number,
            mac=target.mac,
            shelf=target.shelf,
            slot=target.slot,
            sectors=target.sectors,
            buffers=target.buffers,
            first=first,
            length=length,
            read_only=read_only,
        )


@dataclass(frozen=True)
class StorageTunnel:
    """The VXLAN tunnel of a card's block transport.

    Parameters
    ----------
    mac, ipv4
        The card's own.
    next_hop, remote
        MAC address that leads to the peer, and the peer's address.
    vni
        The network.
    """

    mac: str
    ipv4: str
    next_hop: str
    remote: str
    vni: int

    #: Where all frames come from: one flow, in order.
    SOURCE_PORT = 49152

    def words(self) -> list[int]:
        """The outer header (RFC 7348, 5) as control writes it."""
        ends = IPv4Address(self.ipv4).packed + IPv4Address(self.remote).packed
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0x4000, 64, 17, 0) + ends
        total = sum(struct.unpack(">10H", ip))
        total = (total & 0xFFFF) + (total >> 16)
        ip = ip[:10] + struct.pack(">H", total) + ip[12:]
        macs = bytes.fromhex(self.next_hop.replace(":", "") + self.mac.replace(":", ""))
        udp = struct.pack(">HHHH", self.SOURCE_PORT, 4789, 0, 0)
        vxlan = struct.pack(">II", 1 << 27, self.vni << 8)
        header = macs + b"\x08\x00" + ip + udp + vxlan
        return list(struct.unpack("<13I", header.ljust(52, b"\0")))


@dataclass(frozen=True)
class Disk:
    """What control says of a virtio function's disk.

    Parameters
    ----------
    volume
        Its number.
    sectors
        Its capacity.
    identity
        Up to 20 bytes.
    read_only
        VIRTIO_BLK_F_RO is offered.
    blk_size, physical_block_exp
        Bytes of a logical block, and how many of them, as a power of two, make a physical one.
    """

    volume: int
    sectors: int
    identity: bytes = b""
    read_only: bool = False
    blk_size: int = 512
    physical_block_exp: int = 0

    def words(self) -> dict[int, int]:
        """The words that control writes."""
        identity = self.identity.ljust(20, b"\0")
        return {
            BlkWord.CAPACITY: self.sectors & 0xFFFF_FFFF,
            BlkWord.CAPACITY_HIGH: self.sectors >> 32,
            BlkWord.BLK_SIZE: self.blk_size,
            BlkWord.TOPOLOGY: self.physical_block_exp | 1 << 16,
            BlkWord.ATTACHMENT: self.volume | self.read_only * BlkWord.READ_ONLY,
            **{
                BlkWord.IDENTITY + n: int.from_bytes(identity[4 * n : 4 * n + 4], "little")
                for n in range(5)
            },
        }


async def write_disk_word(
    control: Registers, function: int, word: int, value: int, *, path: str = ""
) -> None:
    """Write one word of a function's disk; ``path`` leads to the registers of ``VirtioBlk``."""
    await control.write(f"{path}select", word=word, function=function)
    await control.write(f"{path}value", value)


async def attach_disk(control: Registers, function: int, disk: Disk, *, path: str = "") -> None:
    """Write all words of a function's disk, before it is released."""
    for word, value in disk.words().items():
        await write_disk_word(control, function, word, value, path=path)


def _number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


async def open_storage(
    control: Registers,
    config: CardConfig,
    *,
    mac: str,
    places: Sequence[Place],
    seed: int = 1,
    functions: int | None = None,
    tunnel: StorageTunnel | None = None,
) -> None:
    """Tables, MACs, release.

    Parameters
    ----------
    control
        The card's control bus.
    config
        The card's.
    mac
        The card's own address on the wire.
    places
        Volumes to attach.
    seed
        Random start of what the transport numbers its frames by.
    functions
        Bits of those to release. None: all.
    tunnel
        Where frames of the tunnel's port go.
    """

    async def table(path: str, first: int, words: dict[int, int]) -> None:
        base = control.address(path) + first
        for word, value in words.items():
            await control.write_word(base + word, value)

    await control.write("storage.aoe.registers.seed", seed)
    for number in range(config.ports + config.storage.tunnel):
        halves = {0: _number(mac) >> 32, 1: _number(mac) & 0xFFFFFFFF}
        await table("storage.aoe.sources.words", 2 * number, halves)
    if tunnel:
        await table("storage.tunnel.words", 0, dict(enumerate(tunnel.words())))
    for place in places:
        limits = (place.sectors, place.buffers, TargetRecord.ENABLED)
        who = _number(place.mac), place.shelf, place.slot
        target = TargetRecord.words(*who, *limits, port=place.port)
        first = place.target * TargetRecord.STRIDE
        await table("storage.aoe.targets.words", first, dict(enumerate(target)))
        await table("storage.aoe.volumes.words", place.volume, {0: HAS_TARGET | place.target})
        mode = VolumeMode.PLAIN if place.key is None else VolumeMode.ENCRYPTED
        flags = VolumeRecord.ATTACHED | (VolumeRecord.READ_ONLY if place.read_only else 0)
        flags |= (mode.value | (place.key or 0) << 2) << VolumeRecord.KEY
        record = {
            VolumeRecord.FIRST: place.first & 0xFFFFFFFF,
            VolumeRecord.FIRST + 1: place.first >> 32,
            VolumeRecord.LENGTH: place.length & 0xFFFFFFFF,
            VolumeRecord.LENGTH + 1: place.length >> 32,
            VolumeRecord.FLAGS: flags,
        }
        await table("storage.volumes.table.words", place.volume * VolumeRecord.STRIDE, record)
    for number in range(config.ports):
        await control.write(
            f"mac_{number}.registers.control",
            receive=1,
            transmit=1,
            honour_pause=1,
            longest=config.frame_bytes,
        )
    released = (1 << config.functions) - 1 if functions is None else functions
    await control.write("card.release", functions=released)
