"""A link partner that grants as little as it may, in dribs."""

from random import Random

import cocotb
from cocotb.triggers import Combine, Timer, with_timeout
from cocotbext.pcie.core.tlp import TlpType

from niter.interface import Beat
from sim.harness import rng
from sim.models.root import Grants
from sim.models.streams import Packet, PacketMonitor
from sim.pcie.dma.rig import READS, WRITES, Setup
from sim.pcie.dma.traffic import BENCH, everything, reads, writes

__all__ = ["completions_without_credits", "least_credits", "posted_pass_reads", "reads_pass_posted"]

POSTED, NONPOSTED, COMPLETION = 0, 1, 2

#: The least that a partner must grant at first (table 2-37), in the order of ``Grants.limits``: a
#: header of each class, and data for 128 bytes, for a doubleword, for 128 bytes.
LEAST = (1, 8, 1, 1, 1, 8)


class Miser(PacketMonitor):
    """Grants a credit at a time, never more than ``LEAST``, and audits what is sent.

    Attributes
    ----------
    grants : Grants
    closed : set of int
        Classes that get none at present.
    """

    def __init__(self, dut, random: Random) -> None:
        self.grants = Grants(LEAST)
        self.closed: set[int] = set()
        self._random = random
        self._used = [0] * 6
        self._inside = False
        self._at_first_beat: list[int] = []
        super().__init__(dut, "link__tx")
        cocotb.start_soon(self._dribble())

    async def _dribble(self) -> None:
        while True:
            await Timer(self._random.randrange(8, 120), "ns")
            index = self._random.randrange(6)
            left = self.grants.limits[index] - self._used[index]
            if index // 2 not in self.closed and left < LEAST[index]:
                self.grants.add(index, 1)

    def close(self, kind: int) -> None:
        """Grant no more of a class."""
        self.closed.add(kind)

    def _accept(self, bits: int) -> None:
        if not self._inside:
            self._at_first_beat = list(self.grants.limits)
        self._inside = not Beat.from_bits(bits).last
        super()._accept(bits)

    def _push(self, item: Packet) -> None:
        """The class and cost of a TLP by its first doubleword (2.6.1)."""
        fmt, kind = item.data[0] >> 5, item.data[0] & 0x1F
        dwords = int.from_bytes(item.data[2:4], "big") & 0x3FF if fmt & 2 else 0
        if kind == 0x0A:
            queue = COMPLETION
        elif kind & 0x10 or (kind == 0 and fmt & 2):
            queue = POSTED
        else:
            queue = NONPOSTED
        for index, cost in ((2 * queue, 1), (2 * queue + 1, -(-dwords // 4))):
            self._used[index] += cost
            assert self._used[index] <= self._at_first_beat[index], (
                f"{item.data[:16].hex()}: {self._used} of {self._at_first_beat}"
            )


async def starve(dut) -> tuple[Setup, Miser]:
    """A card whose partner is a miser from the first TLP on."""
    made: list[Miser] = []

    def grants() -> Grants:
        made.append(Miser(dut, rng("miser")))
        return made[0].grants

    setup = await Setup.make(BENCH, dut, grants=grants)
    setup.quiet_us = 20
    return setup, made[0]


@cocotb.test()
async def least_credits(dut):
    """Everything goes its way with the least credits that there may be, only slower."""
    setup, _ = await starve(dut)
    await everything(setup, 4)


@cocotb.test()
async def posted_pass_reads(dut):
    """Reads lack credits: writes, interrupts and registers' values pass them."""
    setup, miser = await starve(dut)
    miser.close(NONPOSTED)
    setup.sent.clear()
    blocked = cocotb.start_soon(reads(setup, 0, 6, 64))
    await Timer(2, "us")
    assert len(setup.tlps(READS)) <= 1, "a read without credits"
    written = await with_timeout(writes(setup, 1, 10, 300), 400, "us")
    await setup.settle()
    for address, content in written:
        assert setup.memory.get(address, len(content)) == content
    window = setup.devices[0].bar_window[0]
    for _ in range(5):
        await with_timeout(window.read(0x100, 4), 100, "us")
    assert not blocked.done()
    miser.closed.clear()
    await with_timeout(blocked, 400, "us")


@cocotb.test()
async def reads_pass_posted(dut):
    """Writes lack credits: reads that need not stay behind them, and completions, pass them."""
    setup, miser = await starve(dut)
    miser.close(POSTED)
    window = setup.devices[0].bar_window[0]
    for _ in range(3):
        await with_timeout(window.read(0x100, 4), 100, "us")
    setup.sent.clear()
    blocked = cocotb.start_soon(writes(setup, 1, 6, 300))
    await Timer(4, "us")
    before = len(setup.tlps(WRITES))
    await with_timeout(reads(setup, 0, 8, 200), 400, "us")
    assert len(setup.tlps(WRITES)) == before <= 1, "a write without credits"
    assert not blocked.done()
    miser.closed.clear()
    await with_timeout(blocked, 400, "us")


@cocotb.test()
async def completions_without_credits(dut):
    """Completions lack credits: all else goes on, and they come when there are some."""
    setup, miser = await starve(dut)
    miser.close(COMPLETION)
    setup.sent.clear()
    window = setup.devices[0].bar_window[0]
    asked = [cocotb.start_soon(window.read(0x100 + 8 * n, 4)) for n in range(4)]
    await Timer(2, "us")
    await with_timeout(Combine(cocotb.start_soon(reads(setup, 0, 6, 200))), 400, "us")
    await with_timeout(writes(setup, 1, 6, 300), 400, "us")
    assert len(setup.tlps({TlpType.CPL_DATA})) <= 1, "a completion without credits"
    assert not all(task.done() for task in asked)
    miser.closed.clear()
    await with_timeout(Combine(*asked), 100, "us")
