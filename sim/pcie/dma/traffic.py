"""Traffic that the tests of the whole transaction layer share."""

import random

import cocotb
from cocotb.triggers import Combine

from niter.interface import MAX_TRANSFER_BYTES
from sim.harness import Bench
from sim.pcie.dma.rig import CLOCK_NS, FUNCTIONS, PORTS, Setup, layer

__all__ = ["BENCH", "everything", "reads", "span", "writes"]

BENCH = Bench(dut=layer, clock_ns=CLOCK_NS, fuzz=True)


def span(rng: random.Random, longest: int) -> int:
    """A length that is often small."""
    return rng.choice((rng.randint(1, 16), rng.randint(1, 160), rng.randint(1, longest)))


def lane(rng: random.Random) -> int:
    """Where a packet begins: at lane 0 more often than elsewhere."""
    return rng.choice((0, rng.randrange(8)))


def write_lane(rng: random.Random, length: int) -> int:
    """The same for a write, whose packet has no more than 4096 bytes with the lanes left out."""
    return min(lane(rng), MAX_TRANSFER_BYTES - length)


async def reads(setup: Setup, port: int, count: int, longest: int) -> None:
    """Read random spans through a port and compare them with memory."""
    reader, expected = setup.readers[port], []
    for _ in range(count):
        function = setup.rng.randrange(len(FUNCTIONS))
        address, content = setup.memory.filled(span(setup.rng, longest))
        reader.issue(address, len(content), function, lane(setup.rng))
        expected.append(content)
    for content in expected:
        answer = await reader.answer()
        assert not answer.error
        assert answer.data == content, f"{len(answer.data)} bytes for {len(content)}"


async def writes(setup: Setup, port: int, count: int, longest: int) -> list[tuple[int, bytes]]:
    """Write random spans through a port, some of them spoiled; returns what must arrive."""
    writer, expected = setup.writers[port], []
    for _ in range(count):
        content = setup.rng.randbytes(span(setup.rng, longest))
        address = setup.memory.buffer(len(content))
        error = setup.rng.random() < 0.1
        function = setup.rng.randrange(len(FUNCTIONS))
        writer.write(address, content, function, error, write_lane(setup.rng, len(content)))
        expected.append((address, b"\xee" * len(content) if error else content))
    await writer.idle()
    return expected


async def everything(setup: Setup, count: int = 12) -> None:
    """All ports at once."""
    longest = (64, 512, 4096)
    readers = [cocotb.start_soon(reads(setup, n, count, longest[n])) for n in range(PORTS)]
    writers = [cocotb.start_soon(writes(setup, n, count, longest[n])) for n in range(PORTS)]
    await Combine(*readers, *writers)
    await setup.settle()
    for task in writers:
        for address, content in task.result():
            assert setup.memory.get(address, len(content)) == content
            setup.memory.check_guards(address, len(content))
