"""A PCIe function: what an engine declares, and how the PCIe room reaches its registers.

The declaration is data, known at elaboration; configuration space, BAR decoding and the
MSI-X table are built from it. At run time one ``FunctionPort`` carries the register
accesses of all functions of an engine, and their resets.

Rules of the port
    1. Every read request gets exactly one reply, in order; a write gets none.
    2. ``request`` is accepted without waiting for outgoing DMA or for the CPU.
    3. A reply is put on the link behind the memory writes that the engine's ports had
       accepted before it.
    4. ``reset[f]`` rises for a reset of function ``f`` (fundamental, function level) and
       stays until ``reset_done[f]`` is seen high. The engine raises ``reset_done[f]`` when
       it has forgotten the function's state, has no host memory command of it outstanding
       and will issue none; it lowers it when ``reset[f]`` has fallen.
"""

from dataclasses import dataclass, field

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "MAX_FUNCTIONS",
    "Bar",
    "Capability",
    "Function",
    "FunctionPort",
    "Msix",
    "RegisterReply",
    "RegisterRequest",
    "WindowCapability",
]

#: Functions that one card may have.
MAX_FUNCTIONS = 8


@dataclass(frozen=True)
class Bar:
    """A 64-bit memory BAR.

    Parameters
    ----------
    index
        Register number of its low half: 0, 2 or 4.
    size
        Bytes, a power of two, at least 16.
    prefetchable
        What its type field says.
    """

    index: int
    size: int
    prefetchable: bool = False

    def __post_init__(self):
        if self.index not in (0, 2, 4):
            raise ValueError(f"A 64-bit BAR has index 0, 2 or 4, not {self.index!r}")
        if self.size < 16 or self.size & (self.size - 1):
            raise ValueError(f"A BAR's size is a power of two from 16 up, not {self.size!r}")


@dataclass(frozen=True)
class Capability:
    """A vendor-specific capability (ID 09h) with constant content.

    Parameters
    ----------
    body
        All bytes from offset 2 (the length byte) on; ID and next pointer are put in front.
    """

    body: bytes


@dataclass(frozen=True)
class WindowCapability(Capability):
    """A vendor-specific capability through which software reaches a BAR.

    Writing a byte offset, a BAR number and a length of 1, 2 or 4 into it and then
    accessing its data field performs that register access (virtio 1.2, 4.1.4.9,
    VIRTIO_PCI_CAP_PCI_CFG). ``body`` gives the initial content.

    Parameters
    ----------
    bar_at, offset_at, length_at, data_at
        Byte positions in the capability, counted from its ID byte.
    """

    bar_at: int = 4
    offset_at: int = 8
    length_at: int = 12
    data_at: int = 16


@dataclass(frozen=True)
class Msix:
    """Where a function's MSI-X table and pending bits stand.

    Parameters
    ----------
    vectors
        1 to 256.
    bar
        Index of the BAR that holds both.
    table, pba
        Offsets in that BAR; the table takes 16 bytes a vector.
    """

    vectors: int
    bar: int
    table: int
    pba: int


@dataclass(frozen=True)
class Function:
    """Declaration of one PCIe function.

    Parameters
    ----------
    vendor, device, subsystem_vendor, subsystem, revision, class_code
        The identification registers of the type 0 header; ``class_code`` has 24 bits.
    bars
        At most three, all 64-bit.
    msix
        Table geometry, or None.
    capabilities
        Vendor-specific ones, in list order.
    """

    vendor: int
    device: int
    subsystem_vendor: int
    subsystem: int
    class_code: int
    revision: int
    bars: tuple[Bar, ...] = ()
    msix: Msix | None = None
    capabilities: tuple[Capability, ...] = field(default=())


class RegisterRequest(data.Struct):
    """One access to a BAR, at most eight bytes wide and within one aligned eight-byte word.

    Members
    -------
    function, bar
        Which window. ``bar`` is the index of the BAR's low half.
    address : 32 bits
        Byte offset in the BAR, a multiple of eight.
    write : 1 bit
    data : 64 bits
        What is written, in its lanes: byte ``address + n`` is lane ``n``.
    mask : 8 bits
        Lanes written, or wanted. At least one is set.
    """

    function: 3
    bar: 3
    address: 32
    write: 1
    data: 64
    mask: 8


class RegisterReply(data.Struct):
    """What a read returns: ``data`` in its lanes, or ``error`` (completer abort)."""

    data: 64
    error: 1


#: Register accesses and resets of an engine's functions, seen from the PCIe room.
FunctionPort = wiring.Signature(
    {
        "request": Out(stream.Signature(RegisterRequest)),
        "reply": In(stream.Signature(RegisterReply)),
        "reset": Out(MAX_FUNCTIONS),
        "reset_done": In(MAX_FUNCTIONS),
    }
)
