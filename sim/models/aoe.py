"""An AoE target, and a network that loses, delays and doubles frames.

The target is written from AoEr11 on scapy's codec; ``tests/storage/test_aoe_target.py`` checks it
against ``vblade``. It knows nothing of any simulator: frames go in and come out as bytes.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from scapy.contrib.aoe import AOE, IssueATACommand, QueryConfigInformation
from scapy.fields import ByteField, FieldLenField, FieldListField, MACField
from scapy.layers.l2 import Ether
from scapy.packet import Packet

__all__ = ["SECTOR", "AoeTarget", "Impairment", "Network", "config_query", "identify", "reserve"]

SECTOR = 512
ETHERTYPE = 0x88A2
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_MINIMUM = 60
_HEADER = 36

# Flags of the AoE header (scapy's names for them count from the wrong end), and ATA's status bits.
_RESPONSE, _ERROR = 8, 4
_READY, _FAILED = 0x40, 0x01


class Reserve(Packet):
    """Reserve and release (AoEr11, section 3.4). scapy's own has two bytes for the number."""

    name = "Reserve"
    fields_desc = (
        ByteField("rcmd", 0),
        FieldLenField("count", None, count_of="macs", fmt="B"),
        FieldListField("macs", [], MACField("", "0" * 12), count_from=lambda it: it.count),
    )


@dataclass
class AoeTarget:
    """A disk behind AoE.

    Parameters
    ----------
    shelf, slot, mac
        Who it is.
    disk
        Its content.
    buffers, sectors
        What it says that it can take: frames at once, and sectors of a frame.
    config
        The configuration string.
    """

    shelf: int
    slot: int
    mac: str
    disk: bytearray
    buffers: int = 16
    sectors: int = 2
    config: bytes = b""
    #: Addresses that may use the target; empty: anybody.
    reserved: list[str] = field(default_factory=list)
    #: Sectors that cannot be read or written.
    bad: set[int] = field(default_factory=set)
    #: Larger frames than this get no answer at all, whatever ``sectors`` says.
    passes: int = 9000
    #: Writes that were carried out: first sector and number.
    writes: list[tuple[int, int]] = field(default_factory=list)
    #: FLUSH commands that were carried out.
    flushes: int = 0

    def answer(self, frame: bytes) -> bytes | None:
        """What the target sends when it gets ``frame``, without padding."""
        if len(frame) < 24 or len(frame) > self.passes:
            return None
        ether = Ether(frame[:14])
        if ether.type != ETHERTYPE or ether.dst not in (self.mac, _BROADCAST):
            return None
        reserves = frame[19] == 3
        request = AOE(frame[14:24] + bytes(3) if reserves else frame[14:])
        if int(request.flags) & _RESPONSE:
            return None
        if request.major not in (self.shelf, 0xFFFF) or request.minor not in (self.slot, 0xFF):
            return None
        request.major, request.minor = self.shelf, self.slot
        request.flags = _RESPONSE
        error, data = self._command(request, ether.src, frame)
        if error:
            request.flags = _RESPONSE | _ERROR
            request.error = error
        ether.dst, ether.src = ether.src, self.mac
        head = bytes(ether) + bytes(request)
        if reserves:
            return head[:24] + bytes(Reserve(rcmd=frame[24], macs=self.reserved))
        return head if data is None else head[:_HEADER] + data

    def _command(self, request, source, frame):
        """Carry it out; returns an AoE error or zero, and the data of an ATA command."""
        match request.cmd:
            case 0:
                return self._ata(request.i_ata_cmd, source, frame)
            case 1:
                return self._config(request.q_conf_info), None
            case 3:
                return self._reserve(Reserve(frame[24:]), source), None
        return 1, None

    def _ata(self, ata: IssueATACommand, source, frame):
        data = frame[_HEADER:]
        ata.data = b""
        count, command = ata.sector_count, ata.cmd_status
        if command != 0xEC and self.reserved and source not in self.reserved:
            return 6, b""
        lba = sum(getattr(ata, f"lba{n}") << 8 * n for n in range(6))
        ata.err_feature, ata.cmd_status = 0, _READY
        if command == 0xE7:
            self.flushes += 1
            return 0, b""
        if command == 0xEC:
            ata.sector_count = 0
            return (0, self._identity()) if count == 1 else (2, b"")
        if command not in (0x24, 0x34):
            ata.err_feature, ata.cmd_status = 0x04, _READY | _FAILED
            return 0, b""
        if count > self.sectors or (command == 0x34 and len(data) < count * SECTOR):
            return 2, b""
        span = range(lba, lba + count)
        if span.stop * SECTOR > len(self.disk) or not self.bad.isdisjoint(span):
            ata.err_feature, ata.cmd_status = 0x10, _READY | _FAILED
            return 0, bytes(count * SECTOR) if command == 0x24 else b""
        ata.sector_count = 0
        at = slice(span.start * SECTOR, span.stop * SECTOR)
        if command == 0x24:
            return 0, bytes(self.disk[at])
        self.disk[at] = data[: count * SECTOR]
        self.writes.append((lba, count))
        return 0, b""

    def _identity(self) -> bytes:
        """ATA's IDENTIFY DEVICE, as far as it tells a size."""
        words = bytearray(SECTOR)
        size = len(self.disk) // SECTOR
        words[120:124] = min(size, (1 << 28) - 1).to_bytes(4, "little")
        words[200:208] = size.to_bytes(8, "little")
        return bytes(words)

    def _config(self, query: QueryConfigInformation) -> int:
        given = bytes(query.config or b"")[: query.config_length]
        match query.ccmd:
            case 0:
                pass
            case 3 | 4:
                if query.ccmd == 3 and self.config not in (b"", given):
                    return 4
                self.config = given
            case _:
                return 2
        query.buffer_count, query.firmware, query.sector_count = self.buffers, 0, self.sectors
        query.aoe, query.config_length, query.config = 1, len(self.config), self.config
        return 0

    def _reserve(self, reserve: Reserve, source) -> int:
        match reserve.rcmd:
            case 0:
                pass
            case 1 if self.reserved and source not in self.reserved:
                return 6
            case 1 | 2:
                self.reserved = list(reserve.macs)
            case _:
                return 2
        return 0


def config_query() -> bytes:
    """The argument of a Config command that reads."""
    return bytes(QueryConfigInformation(config=b"", config_length=0))[:8]


def identify() -> bytes:
    """The first bytes of the argument of IDENTIFY DEVICE; the rest is zero."""
    return bytes(IssueATACommand(sector_count=1, cmd_status=0xEC))[:8]


def reserve(mac: str, *, force: bool = False) -> bytes:
    """The argument of a Reserve command that leaves the target to one address."""
    return bytes(Reserve(rcmd=2 if force else 1, macs=[mac]))


@dataclass(frozen=True)
class Impairment:
    """What the network does to a frame: probabilities, and cycles of delay.

    A frame that is doubled comes twice without anything in between: a doubled write that could be
    delayed by itself would be beyond what an initiator can guard against.
    """

    drop: float = 0.0
    delay: float = 0.0
    double: float = 0.0
    usual: int = 200
    longest: int = 4000


class Network:
    """Frames under way between two ends, with a clock that the bench advances.

    Parameters
    ----------
    rng
        Where its moods come from.
    impairment
        What they are.
    """

    def __init__(self, rng: Random, impairment: Impairment):
        self._rng = rng
        self.impairment = impairment
        self._number = itertools.count()
        self._under_way: list[tuple[int, int, Callable[[bytes], None], bytes]] = []
        #: Frames that were lost, delayed and doubled.
        self.lost = self.delayed = self.doubled = 0

    def send(self, now: int, frame: bytes, deliver: Callable[[bytes], None]) -> None:
        """A frame enters the network; ``deliver`` gets it when it leaves."""
        rng, how = self._rng, self.impairment
        if rng.random() < how.drop:
            self.lost += 1
            return
        due = now + how.usual
        if rng.random() < how.delay:
            self.delayed += 1
            due += rng.randrange(how.longest)
        copies = 1
        if rng.random() < how.double:
            self.doubled += 1
            copies = 2
        for _ in range(copies):
            heapq.heappush(self._under_way, (due, next(self._number), deliver, frame))

    def deliver(self, now: int) -> None:
        """Deliver what is due."""
        while self._under_way and self._under_way[0][0] <= now:
            _, _, deliver, frame = heapq.heappop(self._under_way)
            deliver(frame)

    def next_due(self) -> int | None:
        """When something is due next."""
        return self._under_way[0][0] if self._under_way else None
