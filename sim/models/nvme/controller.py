"""A driver's grip on one controller: registers, admin queue, admin commands (Base 2.0, 3.5)."""

from random import Random

from cocotb.triggers import Timer
from cocotb.utils import get_sim_time

from sim.models.nvme.command import Command
from sim.models.nvme.prp import Buffer
from sim.models.nvme.queue import CompletionQueue, SubmissionQueue
from sim.models.nvme.specification import (
    EVERY_NAMESPACE,
    PAGE_BYTES,
    Admin,
    Cns,
    Config,
    Csts,
    Feature,
    LogPage,
    Register,
)
from sim.models.virtio.bus import Bus

__all__ = ["Capabilities", "ControllerFailed", "NvmeController"]


class ControllerFailed(Exception):
    """CSTS.CFS is set, or the controller does not become what it was asked to be."""


class Capabilities:
    """CAP, taken apart (Base 2.0, 3.1.3.1)."""

    def __init__(self, value: int) -> None:
        self.entries = (value & 0xFFFF) + 1
        self.contiguous = bool(value >> 16 & 1)
        self.timeout_ms = (value >> 24 & 0xFF) * 500
        self.stride = 4 << (value >> 32 & 15)
        self.subsystem_reset = bool(value >> 36 & 1)
        self.command_sets = value >> 37 & 0xFF
        self.page_bytes = (4096 << (value >> 48 & 15), 4096 << (value >> 52 & 15))


class NvmeController:
    """One controller: brings it up, and gives it admin commands.

    Parameters
    ----------
    bus
        Reaches the function.
    rng
        Draws command identifiers.
    strict
        Whether an unexpected completion fails the test; see ``CompletionQueue``.

    Members
    -------
    capabilities : Capabilities
        After ``enable``.
    admin : SubmissionQueue
    queues : dict of int to SubmissionQueue
        I/O queues, by identifier.
    completions : dict of int to CompletionQueue
    """

    def __init__(self, bus: Bus, *, rng: Random | None = None, strict: bool = True) -> None:
        self.bus = bus
        self.rng = rng or Random(0)
        self.strict = strict
        self.queues: dict[int, SubmissionQueue] = {}
        self.completions: dict[int, CompletionQueue] = {}

    # Registers.

    async def read(self, register: Register, size: int = 4) -> int:
        """Read a register."""
        return await self.bus.read(0, register, size)

    async def write(self, register: Register, value: int, size: int = 4) -> None:
        """Write a register."""
        await self.bus.write(0, register, value, size)

    async def _until(self, mask: Csts, wanted: int, timeout_us: float) -> None:
        """Wait until the bits of ``mask`` in CSTS are ``wanted``."""
        end = get_sim_time("us") + timeout_us
        while (status := await self.read(Register.CSTS)) & mask != wanted:
            if status & Csts.FATAL and not mask & Csts.FATAL and wanted:
                raise ControllerFailed(f"CSTS is {status:#x}")
            if get_sim_time("us") > end:
                raise ControllerFailed(f"CSTS is {status:#x}, wanted are {wanted:#x} of {mask:#x}")
            await Timer(1, "us")

    async def enable(self, *, entries: int = 32, interrupts: bool = True, timeout_us: float = 1000):
        """Reset the controller, give it admin queues and enable it (Base 2.0, 3.5.1).

        Parameters
        ----------
        entries
            Of both admin queues.
        interrupts
            Whether completions of the admin queue are waited for by vector 0.
        timeout_us
            For each step; CAP.TO would allow more than a simulation can wait.
        """
        self.capabilities = capabilities = Capabilities(await self.read(Register.CAP, 8))
        assert capabilities.page_bytes[0] <= PAGE_BYTES <= capabilities.page_bytes[1]
        assert capabilities.command_sets & 1, "there is no NVM command set"
        await self.disable(timeout_us)
        completion = CompletionQueue(
            self.bus,
            0,
            entries,
            stride=capabilities.stride,
            vector=0 if interrupts else None,
            strict=self.strict,
        )
        self.completions[0] = completion
        self.admin = SubmissionQueue(
            self.bus, 0, entries, completion, stride=capabilities.stride, rng=self.rng
        )
        await self.write(Register.AQA, (entries - 1) * 0x1_0001)
        await self.write(Register.ASQ, self.admin.ring.address, 8)
        await self.write(Register.ACQ, completion.ring.address, 8)
        await self.write(Register.CC, Config.ENABLE | Config.ENTRY_SIZES)
        await self._until(Csts.READY, Csts.READY, timeout_us)
        completion.start()

    async def disable(self, timeout_us: float = 1000) -> list[Command]:
        """Clear CC.EN, and wait until the controller is reset; returns commands that were lost."""
        configuration = await self.read(Register.CC)
        if configuration & Config.ENABLE:
            await self.write(Register.CC, configuration & ~Config.ENABLE)
        await self._until(Csts.READY, 0, timeout_us)
        return self.forget()

    def forget(self) -> list[Command]:
        """The controller was reset: no queue is left. Returns the commands that were lost."""
        lost: list[Command] = []
        for queue in self.completions.values():
            queue.stop()
            for submission in queue.submission.values():
                lost += submission.abandon()
        self.completions, self.queues = {}, {}
        return lost

    async def shutdown(self, *, abrupt: bool = False, timeout_us: float = 1000) -> None:
        """Shut the controller down by CC.SHN (Base 2.0, 3.6.1)."""
        configuration = await self.read(Register.CC)
        how = Config.SHUTDOWN_ABRUPT if abrupt else Config.SHUTDOWN_NORMAL
        await self.write(Register.CC, configuration | how)
        await self._until(Csts.SHUTDOWN, Csts.SHUTDOWN_COMPLETE, timeout_us)

    async def function_reset(self) -> list[Command]:
        """Reset the function by FLR; returns the commands that were lost."""
        await self.bus.function_reset()
        return self.forget()

    # Admin commands.

    async def command(
        self, opcode: int, *, name: str = "", timeout_us: float = 5000, **fields
    ) -> int:
        """Submit an admin command and wait for its success; returns dword 0."""
        command = await self.admin.submit(opcode, name=name or str(opcode), **fields)
        return await command.result(timeout_us)

    async def _fetch(self, opcode: int, size: int, *, offset: int = 0, **fields) -> bytes:
        """An admin command that returns ``size`` bytes."""
        buffer = Buffer(self.bus.memory, size, offset=offset)
        buffer.grant(writable=True)
        try:
            await self.command(opcode, prp=buffer.prp, **fields)
            return buffer.read()
        finally:
            buffer.free()

    async def identify(self, cns: Cns, nsid: int = 0, *, csi: int = 0, offset: int = 0) -> bytes:
        """Identify: 4096 bytes."""
        return await self._fetch(
            *(Admin.IDENTIFY, 4096), offset=offset, nsid=nsid, dw10=cns, dw11=csi << 24
        )

    async def log_page(
        self, page: LogPage, size: int, *, at: int = 0, retain: bool = False, offset: int = 0
    ) -> bytes:
        """``size`` bytes of a log page, from its byte ``at`` on."""
        count = size // 4 - 1
        return await self._fetch(
            *(Admin.GET_LOG_PAGE, size),
            offset=offset,
            nsid=EVERY_NAMESPACE,
            dw10=page | retain << 15 | (count & 0xFFFF) << 16,
            dw11=count >> 16,
            dw12=at & 0xFFFFFFFF,
            dw13=at >> 32,
        )

    async def set_feature(self, feature: Feature, value: int, **fields) -> int:
        """Set Features; returns dword 0."""
        return await self.command(Admin.SET_FEATURES, dw10=feature, dw11=value, **fields)

    async def feature(self, feature: Feature, **fields) -> int:
        """Get Features; returns dword 0."""
        return await self.command(Admin.GET_FEATURES, dw10=feature, **fields)

    async def async_event(self) -> Command:
        """Leave an Asynchronous Event Request; it ends when something has happened."""
        return await self.admin.submit(Admin.ASYNC_EVENT, name="event request")

    async def abort(self, command: Command) -> bool:
        """Abort a command; returns whether it was stopped."""
        return not await self.command(Admin.ABORT, dw10=command.queue.index | command.cid << 16) & 1
