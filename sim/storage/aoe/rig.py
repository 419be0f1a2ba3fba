"""Around the initiator: a host, a control plane, a network and its targets."""

import itertools

import cocotb
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from niter.storage.aoe import TargetRecord
from sim.harness import Bench, rng
from sim.models.aoe import SECTOR, AoeTarget, Impairment, Network
from sim.models.block import BlockHost
from sim.models.control import ControlBus
from sim.models.streams import FrameSink, FrameSource

__all__ = ["OURS", "SIZE", "Rig", "target"]

#: The card's address.
OURS = "02:00:00:00:0a:0e"

#: Disk of a target, in sectors.
SIZE = 512


def target(**fields) -> AoeTarget:
    """A target with a random disk; ``fields`` are of ``AoeTarget``."""
    disk = bytearray(rng("disk").randbytes(SIZE * SECTOR))
    return AoeTarget(7, 3, "02:00:00:00:00:07", disk, **fields)


class Rig:
    """The initiator with volume 0 at target 0.

    Times are short, so that time-outs can be simulated: a floor of 3 ticks, a silence of 100,
    a lifetime of 25, all of 256 cycles.
    """

    def __init__(self, bench: Bench, dut, targets, impairment, pauses, lifetime):
        self.dut = dut
        self.bench = bench
        self.targets = targets
        self.target = targets[0]
        self.lifetime = lifetime
        self.host = BlockHost(dut, "i", rng("tags"), **({"pauses": pauses} if pauses else {}))
        self.source = FrameSource(dut, "i_wire")
        self.sink = FrameSink(dut, "o_wire")
        self.network = Network(rng("network"), impairment)
        self.control = ControlBus(dut, "csr", bench.component.csr)
        #: Changes frames on their way to us; may return None.
        self.tamper = lambda frame: frame
        self._moved = cocotb.triggers.Event()
        self._tags = itertools.count(0xBEEF)
        cocotb.start_soon(self._from_card())
        cocotb.start_soon(self._deliver())

    @classmethod
    async def start(
        cls,
        bench,
        dut,
        *,
        targets=None,
        impairment=None,
        pauses=None,
        lifetime=25,
        silence=100,
        floor=3,
        **record,
    ):
        """Reset, and tables written."""
        await bench.start(dut)
        rig = cls(bench, dut, targets or [target()], impairment or Impairment(), pauses, lifetime)
        # The engine clears its memories first.
        await ClockCycles(dut.clk, 300)
        await rig.control.write("registers.seed", rng("seed").randrange(1 << 24))
        for name, ticks in (("floor", floor), ("silence", silence), ("lifetime", lifetime)):
            await rig.control.write(f"registers.{name}", ticks)
        own = int(OURS.replace(":", ""), 16)
        base = rig.control.address("sources.words")
        await rig.control.write_word(base, own >> 32)
        await rig.control.write_word(base + 1, own & 0xFFFFFFFF)
        for number, peer in enumerate(rig.targets):
            await rig.record(number, peer, **record)
            await rig.control.write_word(rig.control.address("volumes.words") + number, 16 | number)
        await rig.settled()
        return rig

    @property
    def now(self) -> int:
        """Cycles since the beginning."""
        return round(get_sim_time("ns") / self.bench.clock_ns)

    async def record(
        self, number, target, *, flags=TargetRecord.ENABLED, sectors=None, buffers=None
    ):
        """Write a target's record."""
        base = self.control.address("targets.words") + number * TargetRecord.STRIDE
        mac = int(target.mac.replace(":", ""), 16)
        limits = (sectors or target.sectors, buffers or target.buffers, flags)
        words = TargetRecord.words(mac, target.shelf, target.slot, *limits)
        for at, word in enumerate(words, base):
            await self.control.write_word(at, word)

    async def settled(self):
        """Wait until what was written holds."""
        await ClockCycles(self.dut.clk, 100)

    async def counters(self, number=0):
        """What was counted for a target."""
        prefix = f"target_{number}_"
        values = await self.control.counters("counters.counters")
        return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}

    async def ask(self, number, command, argument: bytes) -> bytes | None:
        """Let control ask a target; None if there is no answer."""
        control = self.control
        base = control.address("query.argument.words")
        await control.write_word(base, int.from_bytes(argument[:4], "big"))
        await control.write_word(base + 1, int.from_bytes(argument[4:8].ljust(4, b"\0"), "big"))
        await control.write(
            "query.registers.ask", target=number, command=command, tag=next(self._tags)
        )
        for _ in range(100):
            if await control.read("query.registers.status", "answered"):
                break
            await ClockCycles(self.dut.clk, 50)
        else:
            return None
        count = await control.read("query.registers.status", "words")
        base = control.address("query.answer.words")
        words = [await control.read_word(base + n) for n in range(count)]
        return b"".join(word.to_bytes(4, "little") for word in words)

    def to_card(self, frame: bytes) -> None:
        """Put a frame on the wire towards the card, now."""
        frame = self.tamper(frame)
        if frame is not None:
            self.source.put(frame.ljust(60, b"\0"))

    def _at_target(self, target):
        def take(frame):
            answer = target.answer(frame)
            if answer is not None:
                self.network.send(self.now, answer, self.to_card)
                self._moved.set()

        return take

    async def _from_card(self):
        while True:
            frame = await self.sink.recv()
            assert frame.error or frame.meta.length == len(frame.data)
            if frame.error:
                continue
            assert frame.data[6:12] == bytes.fromhex(OURS.replace(":", ""))
            for target in self.targets:
                self.network.send(self.now, frame.data, self._at_target(target))
            self._moved.set()

    async def _deliver(self):
        while True:
            due = self.network.next_due()
            if due is None:
                self._moved.clear()
                await self._moved.wait()
                continue
            if due > self.now:
                # A frame that enters meanwhile leaves no earlier than by the usual delay.
                await ClockCycles(self.dut.clk, min(due - self.now, self.network.impairment.usual))
            self.network.deliver(self.now)
