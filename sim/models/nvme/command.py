"""Commands: submission entries, completion entries, and waiting from one to the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cocotb.triggers import Event, SimTimeoutError, with_timeout

from sim.models.nvme.specification import Status

if TYPE_CHECKING:
    from sim.models.nvme.queue import SubmissionQueue

__all__ = [
    "ENTRY_BYTES",
    "Command",
    "CommandFailed",
    "CommandTimeout",
    "Completion",
    "entry_of",
]

#: Bytes of a submission entry.
ENTRY_BYTES = 64


class CommandFailed(Exception):
    """A command ended with an error.

    Members
    -------
    status : int
        Status code type and status code.
    """

    def __init__(self, command: "Command") -> None:
        self.status = command.completion.status
        known = self.status in set(Status)
        name = Status(self.status).name if known else f"{self.status:#x}"
        super().__init__(f"{command.name} ended with {name}")


class CommandTimeout(Exception):
    """A command did not end in time."""


@dataclass(frozen=True)
class Completion:
    """A completion entry (Base 2.0, 3.3.3.2)."""

    result: int
    result_high: int
    sqhd: int
    sqid: int
    cid: int
    phase: int
    #: Status code type and status code; see ``Status``.
    status: int
    retry_delay: int
    more: bool
    do_not_retry: bool

    @classmethod
    def unpack(cls, content: bytes) -> "Completion":
        """From the bytes in memory."""
        dwords = [int.from_bytes(content[at : at + 4], "little") for at in range(0, 16, 4)]
        field = dwords[3] >> 16
        return cls(
            result=dwords[0],
            result_high=dwords[1],
            sqhd=dwords[2] & 0xFFFF,
            sqid=dwords[2] >> 16,
            cid=dwords[3] & 0xFFFF,
            phase=field & 1,
            status=field >> 1 & 0x7FF,
            retry_delay=field >> 12 & 3,
            more=bool(field >> 14 & 1),
            do_not_retry=bool(field >> 15),
        )


def entry_of(
    opcode: int, *, cid: int = 0, nsid: int = 0, prp=(0, 0), flags: int = 0, **dwords: int
) -> bytes:
    """A submission entry (Base 2.0, figure 87); ``dw2``, ``dw10`` and so on are its dwords."""
    entry = bytearray(ENTRY_BYTES)
    entry[0], entry[1] = opcode, flags
    entry[2:4] = cid.to_bytes(2, "little")
    entry[4:8] = nsid.to_bytes(4, "little")
    for at, pointer in zip((24, 32), prp, strict=True):
        entry[at : at + 8] = pointer.to_bytes(8, "little")
    for name, value in dwords.items():
        at = 4 * int(name.removeprefix("dw"))
        entry[at : at + 4] = value.to_bytes(4, "little")
    return bytes(entry)


@dataclass
class Command:
    """A command that was submitted."""

    queue: "SubmissionQueue"
    cid: int
    name: str
    #: Called with the command when it has ended.
    then: Callable[["Command"], None] | None = None
    completion: Completion | None = None
    ended: Event = field(default_factory=Event)

    async def wait(self, timeout_us: float = 4000) -> Completion:
        """Wait until it has ended, in whatever way.

        Raises
        ------
        CommandTimeout
            It has not within ``timeout_us``.
        """
        if self.completion is None:
            try:
                await with_timeout(self.ended.wait(), timeout_us, "us")
            except SimTimeoutError:
                raise CommandTimeout(f"{self.name}, command {self.cid}") from None
        return self.completion

    async def result(self, timeout_us: float = 4000) -> int:
        """Wait until it has succeeded; returns dword 0.

        Raises
        ------
        CommandFailed
            It has not succeeded.
        """
        completion = await self.wait(timeout_us)
        if completion.status:
            raise CommandFailed(self)
        return completion.result
