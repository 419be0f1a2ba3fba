"""A root complex for pysim, as far as requests of ours go: memory that answers and checks.

TLPs are packed and unpacked by cocotbext-pcie's own codec; memory, splitting and the order
of completions are a golden model of this file, written from chapter 2 of the PCI Express
Base Specification.
"""

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId

__all__ = ["BUS", "DEVICE", "Host", "Link", "beats_of", "unpack"]

#: What the link has taught us that we are.
BUS, DEVICE = 0x5A, 0x13

READS = (TlpType.MEM_READ, TlpType.MEM_READ_64)
WRITES = (TlpType.MEM_WRITE, TlpType.MEM_WRITE_64)


def beats_of(tlp: Tlp, error: bool = False) -> list[dict[str, int]]:
    """The beats of a packet stream that carries ``tlp``."""
    raw = bytes(tlp.pack())
    return [
        {
            "data": int.from_bytes(raw[at : at + 8].ljust(8, b"\xa5"), "little"),
            "empty": max(0, at + 8 - len(raw)),
            "last": at + 8 >= len(raw),
            "error": error and at + 8 >= len(raw),
        }
        for at in range(0, len(raw), 8)
    ]


def unpack(raw: bytes) -> Tlp:
    """The TLP in ``raw``, which must be as long as its header says."""
    tlp = Tlp.unpack(bytearray(raw))
    assert len(raw) == tlp.get_size(), f"{len(raw)} bytes hold {tlp!r}"
    if tlp.has_data():
        assert len(tlp.data) == 4 * tlp.length, f"Length is not that of the payload: {tlp!r}"
    return tlp


@dataclass
class Host:
    """Memory behind the link.

    Attributes
    ----------
    memory
        Bytes by address. A read of, or a write to, any other byte is a failure, except
        that a read of an address in ``refused`` gets the status given there.
    written
        (address, byte) in the order in which writes came.
    """

    rng: random.Random
    payload: int = 128
    request: int = 512
    boundary: int = 64
    memory: dict[int, int] = field(default_factory=dict)
    refused: dict[int, Any] = field(default_factory=dict)
    outstanding: dict[int, deque] = field(default_factory=dict)
    log: list[Tlp] = field(default_factory=list)

    def put(self, address: int, content: bytes) -> None:
        """Make memory of ``content``."""
        self.memory.update(enumerate(content, address))

    def get(self, address: int, length: int) -> bytes:
        """What stands in memory."""
        return bytes(self.memory[address + at] for at in range(length))

    def take(self, tlp: Tlp) -> None:
        """A request arrives."""
        self.log.append(tlp)
        assert (tlp.requester_id.bus, tlp.requester_id.device) == (BUS, DEVICE)
        assert (tlp.tc, tlp.attr, tlp.td, tlp.ep, tlp.at) == (0, 0, 0, 0, 0)
        four = tlp.fmt_type in (TlpType.MEM_READ_64, TlpType.MEM_WRITE_64)
        assert four == (tlp.address >= 1 << 32), f"wrong header size: {tlp!r}"
        assert tlp.address % 4096 + 4 * tlp.length <= 4096, f"crosses 4 KiB: {tlp!r}"
        assert tlp.first_be in (0b1111, 0b1110, 0b1100, 0b1000) or tlp.length == 1
        if tlp.length == 1:
            assert tlp.last_be == 0 and tlp.first_be
        else:
            assert tlp.last_be in (0b1111, 0b0111, 0b0011, 0b0001)
        skipped, spare = tlp.get_first_be_offset(), tlp.get_last_be_offset()
        wanted = 4 * tlp.length - skipped - spare
        if tlp.fmt_type in WRITES:
            assert 4 * tlp.length <= self.payload, f"exceeds MPS: {tlp!r}"
            for at in range(wanted):
                assert tlp.address + skipped + at in self.memory, f"stray write: {tlp!r}"
                self.memory[tlp.address + skipped + at] = tlp.data[skipped + at]
            return
        assert tlp.fmt_type in READS, f"what is {tlp!r}"
        assert 4 * tlp.length <= self.request, f"exceeds MRRS: {tlp!r}"
        assert tlp.tag not in self.outstanding, f"tag {tlp.tag} is in use"
        self.outstanding[tlp.tag] = deque(self._answers(tlp, skipped, wanted))

    def _answers(self, request: Tlp, skipped: int, wanted: int) -> list[Tlp]:
        address, left = request.address + skipped, wanted
        if request.address in self.refused:
            status = self.refused[request.address]
            tlp = Tlp.create_completion_for_tlp(request, PcieId(0, 0, 0), status=status)
            tlp.byte_count, tlp.lower_address = left % 4096, address % 128
            return [tlp]
        tlps = []
        while left:
            ends = range(
                address // self.boundary * self.boundary + self.boundary,
                min(address // 4 * 4 + self.payload, address + left) + 1,
                self.boundary,
            )
            choices = [end for end in ends if end <= address // 4 * 4 + self.payload]
            if address + left <= address // 4 * 4 + self.payload:
                choices.append(address + left)
            end = self.rng.choice(choices)
            tlp = Tlp.create_completion_data_for_tlp(request, PcieId(0, 0, 0))
            tlp.byte_count, tlp.lower_address = left % 4096, address % 128
            low, high = address // 4 * 4, -(-end // 4) * 4
            content = bytearray(self.rng.randbytes(high - low))
            for at in range(address, end):
                content[at - low] = self.memory[at]
            tlp.set_data(content)
            tlps.append(tlp)
            address, left = end, left - (end - address)
        return tlps

    def next_completion(self) -> Tlp | None:
        """One of the completions that may come next, whichever request it belongs to."""
        if not self.outstanding:
            return None
        tag = self.rng.choice(list(self.outstanding))
        answers = self.outstanding[tag]
        tlp = answers.popleft()
        if not answers or tlp.status != CplStatus.SC:
            del self.outstanding[tag]
        return tlp


class Link:
    """Processes between a ``Host`` and the ports of a device under test.

    Parameters
    ----------
    host
        Whose memory it is.
    patience
        Cycles that a request waits for its first completion, at most.
    """

    def __init__(self, host: Host, *, stall: float = 0.0, patience: int = 60):
        self.host = host
        self.stall = stall
        self.patience = patience
        self.held = False
        self.transform = lambda tlp: [(tlp, False)]

    def requests(self, port: Any):
        """Take TLPs from ``port``."""
        rng = random.Random(self.host.rng.random())

        async def process(ctx):
            raw, previous, inside = b"", None, False
            while True:
                ready = rng.random() >= self.stall
                ctx.set(port.ready, ready)
                _, _, valid, beat = await ctx.tick().sample(port.valid, port.payload)
                assert previous is None or (valid and beat == previous), "beat did not hold"
                assert valid or not inside, "a bubble inside a TLP"
                previous = beat if valid and not ready else None
                if not (valid and ready):
                    continue
                raw += int(beat.data).to_bytes(8, "little")[: 8 - beat.empty]
                inside = not beat.last
                if beat.last:
                    assert not beat.error
                    self.host.take(unpack(raw))
                    raw = b""

        return process

    def completions(self, port: Any):
        """Send completions to ``port``, which may never stall."""
        rng = random.Random(self.host.rng.random())

        async def process(ctx):
            while True:
                for _ in range(rng.choice((0, 0, 1, rng.randint(0, self.patience)))):
                    await ctx.tick()
                tlp = None if self.held else self.host.next_completion()
                if tlp is None:
                    await ctx.tick()
                    continue
                for sent, error in self.transform(tlp):
                    for beat in beats_of(sent, error):
                        ctx.set(port.payload, beat)
                        ctx.set(port.valid, 1)
                        _, _, ready = await ctx.tick().sample(port.ready)
                        assert ready, "completions were stalled"
                        ctx.set(port.valid, 0)
                        while not beat["last"] and rng.random() < self.stall / 2:
                            await ctx.tick()

        return process
