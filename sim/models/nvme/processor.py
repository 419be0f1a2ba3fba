"""The card's processor, as far as NVMe goes: its own C, on this machine, at the control bus.

The firmware of ``firmware/nvme`` runs as a process beside the simulation; every access that it
makes to a register becomes one on the bench's control bus, in order and in simulated time.
"""

import cocotb
from cocotb.triggers import Lock, Timer
from cocotb.utils import get_sim_time

from firmware.host.nvme import Admin, Identity, Namespace
from firmware.host.nvme.process import Access
from niter.csr import MemoryMap
from niter.nvme.config import NvmeConfig
from sim.models.control import Registers

__all__ = ["Processor"]


class Processor:
    """Serves the mailbox with the admin firmware.

    Parameters
    ----------
    control
        The control bus.
    memory_map, config
        Of the card; see ``firmware.host.nvme.build``.
    clock_ns
        Of the card's timer.
    pause_us
        Between two turns of the firmware's loop in which there was nothing to do.
    """

    def __init__(
        self,
        control: Registers,
        memory_map: MemoryMap,
        config: NvmeConfig,
        *,
        clock_ns: float = 16,
        pause_us: float = 2.0,
    ) -> None:
        self._control = control
        self._clock_ns, self._pause_us = clock_ns, pause_us
        self._admin = Admin(memory_map, config, hz=round(1e9 / clock_ns))
        self._bus = Lock()
        self._task = None

    async def start(self, identity: Identity | None = None) -> None:
        """Begin to serve."""
        await self._do(self._admin.open(identity))
        self._task = cocotb.start_soon(self._serve())

    def stop(self) -> None:
        """End the firmware; sanitizers must have found nothing."""
        if self._task is not None:
            self._task.cancel()
        self._admin.close()

    async def attach(self, controller: int, nsid: int, namespace: Namespace) -> None:
        """Attach a namespace to a controller."""
        assert await self._do(self._admin.attach(controller, nsid, namespace)), "not possible"

    async def detach(self, controller: int, nsid: int) -> None:
        """Detach a namespace."""
        assert await self._do(self._admin.detach(controller, nsid)), "not possible"

    async def _serve(self) -> None:
        while True:
            if await self._do(self._admin.turn()):
                await Timer(self._pause_us, "us")

    async def _do(self, work) -> int:
        async with self._bus:
            self._admin.now = round(get_sim_time("ns") / self._clock_ns)
            return await self._admin.serve(work, self._access)

    async def _access(self, wanted: Access) -> int | None:
        if wanted.value is None:
            return await self._control.read_word(wanted.address)
        await self._control.write_word(wanted.address, wanted.value)
        return None
