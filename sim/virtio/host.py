"""A host around the virtio network device: memory, buses, drivers, and the wire's two ends."""

from random import Random

from cocotb.triggers import ClockCycles

from sim.harness import Bench, rng
from sim.models.streams import Frame, FrameSink, FrameSource
from sim.models.virtio.net import NetDriver
from sim.virtio.surroundings import Surroundings

__all__ = ["Host", "cuts", "random_frame"]

#: Lengths at the edges of what the datapath treats differently, and common ones.
_LENGTHS = (60, 61, 63, 64, 67, 68, 128, 590, 1011, 1012, 1013, 1514, 1518)


class Host(Surroundings):
    """What stands round a ``VirtioNet``: also the wire.

    Parameters
    ----------
    bench, dut, options
        See ``Surroundings``.

    Members
    -------
    drivers
        One for each function, not started.
    tx : FrameSink
        What leaves towards the wire.
    rx : FrameSource
        What comes from it.
    """

    def __init__(self, bench: Bench, dut, **options) -> None:
        super().__init__(bench, dut, **options)
        self.tx = FrameSink(dut, "tx", stalls=self.pauses("tx"))
        self.rx = FrameSource(dut, "rx", stalls=self.pauses("rx"))
        self._counters: dict[str, int] = {}
        functions = range(self.component.functions)
        self.drivers = [NetDriver(self.bus(n), rng=rng("driver", n)) for n in functions]

    async def start(self, driver: NetDriver, **how) -> None:
        """Start a driver, and give the engine time to find its first buffers."""
        await driver.start(**how)
        await ClockCycles(self.dut.clk, 600)

    def deliver(self, frame: bytes, function: int, **meta) -> None:
        """Send a frame from the wire to a function."""
        self.rx.put(Frame(frame, meta={"function": function, **meta}))

    async def counted(self) -> dict[str, int]:
        """What the device has counted since this was last asked; only what is not zero."""
        now = await self.control.counters("counters.counters")
        news = {name: value - self._counters.get(name, 0) for name, value in now.items()}
        self._counters = now
        return {name: value for name, value in news.items() if value}

    async def settle(self, cycles: int = 600) -> None:
        """Let what was set off come to its end."""
        await self.rx.idle()
        await ClockCycles(self.dut.clk, cycles)


def random_frame(random: Random, length: int | None = None) -> bytes:
    """A frame of random bytes; of a telling or a random length."""
    if length is None:
        length = random.choice((*_LENGTHS, random.randint(60, 1518)))
    return random.randbytes(length)


def cuts(random: Random, length: int) -> list[int]:
    """Lengths of the segments of a header and a frame of ``length`` bytes, but the last."""
    match random.randrange(4):
        case 0:
            return []
        case 1:
            return [12]
        case 2:
            return [random.randint(1, 30) for _ in range(random.randint(1, 4))]
    return [random.randint(1, length) for _ in range(random.randint(1, 3))]
