"""Where the registers of an NVMe controller stand (PCIe Transport 1.0; Base 2.0, 3.1.3)."""

from amaranth import Value
from amaranth.lib import data, enum

from niter.interface import Bar, Function, Msix

__all__ = [
    "BAR",
    "BAR_BYTES",
    "DOORBELLS",
    "REGISTER_WORDS",
    "VERSION",
    "WRITABLE",
    "Configuration",
    "Register",
    "Status",
    "acceptable",
    "constants",
    "declare",
]

#: The BAR with registers and doorbells; each on a page, so that doorbells can be mapped alone.
BAR = 0
BAR_BYTES = 0x4000

#: Offset of the first doorbell: those of queue n are 8 n bytes behind (a stride of zero).
DOORBELLS = 0x1000

#: 32-bit words that are kept for each function.
REGISTER_WORDS = 32

#: NVM Express Base 2.0.
VERSION = 0x0002_0000

#: How long CSTS.RDY may take, in units of 500 ms.
_TIMEOUT = 20

_MSIX_BAR = 4
_MSIX_PBA = 0x800


class Register(enum.IntEnum, shape=5):
    """The registers by 32-bit word. What is not named here reads as zero and ignores writes.

    INTMS and INTMC do so too: they have no meaning with MSI-X, the only kind of interrupt.
    """

    CAP = 0
    CAP_HIGH = 1
    VS = 2
    CC = 5
    CSTS = 7
    AQA = 9
    ASQ = 10
    ASQ_HIGH = 11
    ACQ = 12
    ACQ_HIGH = 13
    CRTO = 26


#: Bits that the host can write.
WRITABLE = {
    Register.CC: 0x00FF_FFF1,
    Register.AQA: 0x0FFF_0FFF,
    Register.ASQ: 0xFFFF_F000,
    Register.ASQ_HIGH: 0xFFFF_FFFF,
    Register.ACQ: 0xFFFF_F000,
    Register.ACQ_HIGH: 0xFFFF_FFFF,
}


class Configuration(data.Struct):
    """CC, controller configuration."""

    enable: 1
    _reserved: 3
    command_set: 3
    page_size: 4
    arbitration: 3
    shutdown: 2
    submission_size: 4
    completion_size: 4
    _unused: 8


class Status(data.Struct):
    """CSTS, controller status: ready, fatal; a shutdown occurs, or is complete."""

    ready: 1
    fatal: 1
    occurring: 1
    complete: 1


def acceptable(configuration: data.View) -> Value:
    """Can a controller start with this CC? Entry sizes of zero may be set later."""
    return (
        (configuration.command_set == 0)
        & (configuration.page_size == 0)
        & (configuration.arbitration == 0)
        & ((configuration.submission_size == 0) | (configuration.submission_size == 6))
        & ((configuration.completion_size == 0) | (configuration.completion_size == 4))
    )


def constants(entries: int) -> dict[Register, int]:
    """The registers that never change, for queues of up to ``entries`` entries.

    CAP: queues are contiguous, arbitration is round robin, doorbells have no gaps, there is the
    NVM command set, memory pages have 4 KiB, and the controller is ready with its media.
    """
    contiguous, nvm, ready_with_media = 1 << 16, 1 << 37, 1 << 59
    cap = entries - 1 | contiguous | _TIMEOUT << 24 | nvm | ready_with_media
    return {
        Register.CAP: cap & 0xFFFF_FFFF,
        Register.CAP_HIGH: cap >> 32,
        Register.VS: VERSION,
        Register.CRTO: _TIMEOUT,
    }


def declare(
    queues: int, *, vendor: int, device: int, subsystem_vendor: int, subsystem: int
) -> Function:
    """The PCIe function of a controller: an MSI-X vector for each I/O queue and one for admin."""
    return Function(
        vendor=vendor,
        device=device,
        subsystem_vendor=subsystem_vendor,
        subsystem=subsystem,
        revision=1,
        class_code=0x01_08_02,
        bars=(Bar(BAR, BAR_BYTES), Bar(_MSIX_BAR, 2 * _MSIX_PBA)),
        msix=Msix(vectors=queues + 1, bar=_MSIX_BAR, table=0, pba=_MSIX_PBA),
    )
