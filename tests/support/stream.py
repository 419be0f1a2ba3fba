"""Stream sources, sinks and monitors for pysim, and packets as bytes.

A test describes what it sends as a list of :class:`Packet`; ``Bench`` runs the processes,
stalls them from a seed, checks the rules of ``niter.interface.packet`` on whatever comes out
and hands back packets.
"""

import os
import random
from dataclasses import dataclass, field
from typing import Any

from amaranth.lib import data
from amaranth.sim import Simulator

from niter.interface import BEAT_BYTES, Beat

__all__ = ["SEEDS", "STALLS", "Bench", "Packet", "random_packets"]

#: Seeds of the random tests; NITER_SEED replaces them by one.
SEEDS = [int(os.environ["NITER_SEED"])] if "NITER_SEED" in os.environ else [1, 2]

#: Probability of a stall in a cycle, at the source and at the sink.
STALLS = [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)]


@dataclass
class Packet:
    """Bytes, how the packet ends, and what its sideband says."""

    data: bytes
    error: bool = False
    sideband: dict[str, Any] = field(default_factory=dict)


def random_packets(rng: random.Random, count: int, *, longest: int = 40, errors: float = 0.0):
    """``count`` packets of 1 to ``longest`` random bytes, some of which end in error."""
    return [
        Packet(rng.randbytes(rng.randint(1, longest)), rng.random() < errors) for _ in range(count)
    ]


class Bench:
    """A device under test with stalling sources and checking sinks around it.

    Parameters
    ----------
    dut
        Component under test.
    seed
        Where the stalls come from.
    """

    def __init__(self, dut: Any, seed: int):
        self.dut = dut
        self.seed = seed
        self.busy = 0
        self.cycles = 0
        self.sim = Simulator(dut)
        self.sim.add_clock(1e-6)

    def rng(self) -> random.Random:
        """A generator of its own for each process."""
        self.seed += 1000
        return random.Random(self.seed)

    def send(self, port: Any, packets: list[Packet], *, stall: float = 0.0, extra: Any = None):
        """Send ``packets`` on ``port``; ``extra(ctx, packet)`` sets what goes beside it."""
        rng = self.rng()
        bare = port.payload.shape() is Beat

        async def source(ctx):
            for packet in packets:
                for at in range(0, len(packet.data), BEAT_BYTES):
                    while rng.random() < stall:
                        await ctx.tick()
                    chunk = packet.data[at : at + BEAT_BYTES]
                    last = at + BEAT_BYTES >= len(packet.data)
                    junk = rng.randbytes(BEAT_BYTES - len(chunk))
                    beat = {
                        "data": int.from_bytes(chunk + junk, "little"),
                        "empty": len(junk),
                        "last": last,
                        "error": last and packet.error,
                    }
                    payload = beat if bare else {"packet": beat, **packet.sideband}
                    if extra is not None:
                        extra(ctx, packet)
                    await self._put(ctx, port, payload)

        self.add(source)

    def put(self, port: Any, payloads: list[Any], *, stall: float = 0.0):
        """Send ``payloads`` on a stream that carries no packets."""
        rng = self.rng()

        async def source(ctx):
            for payload in payloads:
                while rng.random() < stall:
                    await ctx.tick()
                await self._put(ctx, port, payload)

        self.add(source)

    @staticmethod
    async def _put(ctx, port, payload):
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    def get(self, port: Any, count: int, *, stall: float = 0.0) -> list[Any]:
        """Take ``count`` payloads of a stream that carries no packets, as they arrive."""
        taken: list[Any] = []
        rng = self.rng()

        async def sink(ctx):
            while len(taken) < count:
                taken.append(await self._take(ctx, port, rng, stall))

        self.add(sink)
        return taken

    def receive(self, port: Any, count: int, *, stall: float = 0.0) -> list[Packet]:
        """Take ``count`` packets, as they arrive."""
        packets: list[Packet] = []
        rng = self.rng()
        bare = port.payload.shape() is Beat

        async def sink(ctx):
            gathered = b""
            sideband: dict[str, Any] = {}
            while len(packets) < count:
                payload = await self._take(ctx, port, rng, stall)
                beat = payload if bare else payload.packet
                beside = {} if bare else _sideband(payload)
                assert beat.last or not beat.empty, "a beat with holes inside a packet"
                assert beat.last or not beat.error, "an error inside a packet"
                assert not gathered or beside == sideband, "the sideband changed in a packet"
                sideband = beside
                chunk = int(beat.data).to_bytes(BEAT_BYTES, "little")
                gathered += chunk[: BEAT_BYTES - beat.empty]
                if beat.last:
                    packets.append(Packet(gathered, bool(beat.error), sideband))
                    gathered = b""

        self.add(sink)
        return packets

    @staticmethod
    async def _take(ctx, port, rng, stall):
        held = None
        while True:
            ready = rng.random() >= stall
            ctx.set(port.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
            assert held is None or (valid and payload == held), "valid or payload did not hold"
            if valid and ready:
                ctx.set(port.ready, 0)
                return payload
            held = payload if valid else None

    def add(self, process: Any):
        """Add a process that the simulation has to wait for."""
        self.busy += 1

        async def run(ctx):
            await process(ctx)
            self.busy -= 1

        self.sim.add_testbench(run)

    def run(self, limit: int = 20_000) -> int:
        """Run to the end of all processes; returns the cycles that took."""

        async def watch(ctx):
            while self.busy:
                await ctx.tick()
                self.cycles += 1
                assert self.cycles < limit, f"stuck after {limit} cycles (seed {self.seed})"

        self.sim.add_testbench(watch)
        self.sim.run()
        return self.cycles


def _sideband(payload: data.Const) -> dict[str, Any]:
    names = [name for name, _ in data.Layout.cast(payload.shape()) if name != "packet"]
    return {name: payload[name] for name in names}
