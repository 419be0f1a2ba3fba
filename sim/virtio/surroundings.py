"""What stands round a virtio device in place of the PCIe room."""

from sim.harness import Bench, rng
from sim.models.control import ControlBus
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.streams import Stalls, stalls
from sim.models.virtio.bus import DirectBus, FunctionMaster

__all__ = ["Surroundings"]


class Surroundings:
    """Memory, the ports to it, registers, and the control bus.

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
        self.dut = dut
        self.component = bench.component
        self._stalled = stalled
        self.memory = HostMemory(rng=rng("memory"), strict=strict)
        self.ports = HostPorts(
            dut,
            self.memory,
            latency_ns=latency_ns,
            bytes_per_ns=bytes_per_ns,
            rng=rng("latency") if stalled else None,
        )
        self.ports.serve_all(self.component, self.pauses)
        self.master = FunctionMaster(dut, "function")
        self.control = ControlBus(dut, "csr", self.component.csr)

    def pauses(self, name: str) -> Stalls | None:
        """When the port of that name pauses."""
        return stalls(rng(name), 0.25) if self._stalled else None

    def bus(self, function: int) -> DirectBus:
        """What a driver of a function sees of the card."""
        declared = self.component.kind.function()
        return DirectBus(self.master, function, declared, self.memory, self.ports.interrupts)
