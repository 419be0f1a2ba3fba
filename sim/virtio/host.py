"""A host around the virtio network device: memory, buses, drivers, and the wire's two ends."""

from random import Random

from cocotb.triggers import ClockCycles

from niter.virtio.net import VirtioNet
from sim.harness import Bench, rng
from sim.models.control import ControlBus
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.streams import Frame, FrameSink, FrameSource, stalls
from sim.models.virtio.bus import DirectBus, FunctionMaster
from sim.models.virtio.net import NetDriver

__all__ = ["Host", "cuts", "random_frame"]

#: Lengths at the edges of what the datapath treats differently, and common ones.
_LENGTHS = (60, 61, 63, 64, 67, 68, 128, 590, 1011, 1012, 1013, 1514, 1518)


class Host:
    """What stands round a ``VirtioNet`` in place of the PCIe room and the wire.

    Parameters
    ----------
    bench, dut
        The bench and its device under test, already reset.
    stalled
        Whether all ports pause at random.
    latency_ns
        Of a read.
    bytes_per_ns
        At which answers come; see ``HostPorts``.
    strict
        Whether a stray access fails at once; see ``HostMemory``.

    Members
    -------
    drivers
        One for each function, not started.
    tx : FrameSink
        What leaves towards the wire.
    rx : FrameSource
        What comes from it.
    """

    def __init__(
        self,
        bench: Bench,
        dut,
        *,
        stalled: bool = False,
        latency_ns: float = 600,
        bytes_per_ns: float | None = None,
        strict: bool = True,
    ) -> None:
        def pauses(name):
            return stalls(rng(name), 0.25) if stalled else None

        component: VirtioNet = bench.component
        self.dut = dut
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.ports = HostPorts(
            dut,
            self.memory,
            latency_ns=latency_ns,
            bytes_per_ns=bytes_per_ns,
            rng=rng("latency") if stalled else None,
        )
        self.ports.serve_all(component, pauses)
        self.master = FunctionMaster(dut, "function")
        self.control = ControlBus(dut, "csr", component.csr.memory_map)
        self.tx = FrameSink(dut, "tx", stalls=pauses("tx"))
        self.rx = FrameSource(dut, "rx", stalls=pauses("rx"))
        self._counters: dict[str, int] = {}
        self.drivers = [self.driver(number, component) for number in range(component.functions)]

    def driver(self, number: int, component: VirtioNet) -> NetDriver:
        """A new driver of function ``number``."""
        declaration = component.kind.function()
        bus = DirectBus(self.master, number, declaration, self.memory, self.ports.interrupts)
        return NetDriver(bus, rng=rng("driver", number))

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
