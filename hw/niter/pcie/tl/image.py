"""What configuration space contains: the registers of a function, from its declaration.

A function has 256 bytes, each with a value after reset and a mask of the bits that software
may write. Registers that the hardware looks at are named here, by the offset of their first
byte; the standard capabilities stand at the same place in all functions. There are no
extended capabilities: what lies above reads as zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.lib import enum

from niter.interface import Function, WindowCapability

__all__ = ["SPACE_BYTES", "Image", "Register", "Window", "kinds"]

#: Bytes of a function's configuration space that are not always zero.
SPACE_BYTES = 256

_POWER_MANAGEMENT, _EXPRESS, _MSIX, _VENDOR = 0x40, 0x48, 0x84, 0x90


class Register(enum.IntEnum):
    """Registers that the hardware looks at (7.5.1, 7.5.2, 7.5.3, 7.7.2)."""

    COMMAND = 0x04
    STATUS = 0x06
    BAR = 0x10
    POWER = _POWER_MANAGEMENT + 4
    DEVICE_CONTROL = _EXPRESS + 0x08
    DEVICE_STATUS = _EXPRESS + 0x0A
    LINK_CONTROL = _EXPRESS + 0x10
    DEVICE_CONTROL_2 = _EXPRESS + 0x28
    MSIX_CONTROL = _MSIX + 2


@dataclass(frozen=True)
class Window:
    """Doublewords of a ``WindowCapability``."""

    bar: int
    offset: int
    length: int
    data: int


class Image:
    """Reset values and write masks of one function.

    Parameters
    ----------
    function
        The declaration.
    multifunction
        The card has more than one function.
    generation
        Of the link: 1 or 2.
    max_payload
        Largest payload supported, in bytes: 128, 256.

    Attributes
    ----------
    defaults, masks : bytes
        Bits to be cleared by writing one are not in the mask.
    window : Window or None

    Raises
    ------
    ValueError
        When the capabilities do not fit, or one is not well formed.
    """

    def __init__(
        self, function: Function, *, multifunction: bool, generation: int, max_payload: int
    ):
        self.function = function
        self.window: Window | None = None
        self._bytes = bytearray(SPACE_BYTES)
        self._masks = bytearray(SPACE_BYTES)
        self._header(multifunction)
        capabilities = [(_POWER_MANAGEMENT, self._power_management())]
        capabilities.append((_EXPRESS, self._express(generation, max_payload)))
        if function.msix is not None:
            capabilities.append((_MSIX, self._msix()))
        at = _VENDOR
        for capability in function.capabilities:
            capabilities.append((at, bytes([0x09, 0]) + capability.body))
            if isinstance(capability, WindowCapability):
                self._window(capability, at)
            at += (2 + len(capability.body) + 3) & ~3
        if at > SPACE_BYTES:
            raise ValueError(f"The capabilities take {at - SPACE_BYTES} bytes too many")
        for (at, body), (following, _) in zip(
            capabilities, [*capabilities[1:], (0, b"")], strict=True
        ):
            self._bytes[at : at + len(body)] = body
            self._bytes[at + 1] = following
        self.defaults, self.masks = bytes(self._bytes), bytes(self._masks)

    def _put(self, at: int, value: int, mask: int = 0, size: int = 4) -> None:
        self._bytes[at : at + size] = value.to_bytes(size, "little")
        self._masks[at : at + size] = mask.to_bytes(size, "little")

    def _header(self, multifunction: bool) -> None:
        f = self.function
        self._put(0x00, f.vendor | f.device << 16)
        # Memory, master, parity response, SERR#, interrupt disable; capabilities list.
        self._put(0x04, 0x0010_0000, 0x0000_0546)
        self._put(0x08, f.revision | f.class_code << 8)
        self._put(0x0C, multifunction << 23, 0xFF)
        for bar in f.bars:
            base = ~(bar.size - 1) & (1 << 64) - 1
            self._put(0x10 + 4 * bar.index, 0b100 | bar.prefetchable << 3, base, size=8)
        self._put(0x2C, f.subsystem_vendor | f.subsystem << 16)
        self._put(0x34, _POWER_MANAGEMENT)
        self._put(0x3C, 0, 0xFF)

    def _power_management(self) -> bytes:
        """D0 and D3hot, no PME; state survives D3hot (No_Soft_Reset)."""
        self._masks[_POWER_MANAGEMENT + 4] = 0b11
        return bytes([0x01, 0, 0x03, 0x00, 0x08, 0, 0, 0])

    def _express(self, generation: int, max_payload: int) -> bytes:
        """An endpoint (7.5.3) with FLR and role-based error reporting."""
        supported = max_payload.bit_length() - 8
        words = [
            0x0002_0010,
            1 << 28 | 1 << 15 | supported,
            # Relaxed ordering and no snoop may be used; reads of up to 512 bytes.
            0x0000_2810,
            1 << 22 | 1 << 4 | generation,
            (1 << 12 | 1 << 4 | generation) << 16,
            0, 0, 0, 0,
            1 << 4,
            0,
            ((1 << generation) - 1) << 1,
            generation,
            0, 0,
        ]  # fmt: skip
        self._masks[_EXPRESS + 0x08 : _EXPRESS + 0x0A] = (0x781F | supported << 5).to_bytes(
            2, "little"
        )
        # Read completion boundary, common clock, extended synch, ASPM.
        self._masks[_EXPRESS + 0x10] = 0b1100_1011
        # Completion time-out disable.
        self._masks[_EXPRESS + 0x28] = 1 << 4
        body = bytearray(b"".join(word.to_bytes(4, "little") for word in words))
        return bytes(body)

    def _msix(self) -> bytes:
        msix = self.function.msix
        assert msix is not None
        if msix.bar not in (bar.index for bar in self.function.bars):
            raise ValueError(f"The MSI-X table is in BAR {msix.bar}, which is not declared")
        self._masks[_MSIX + 3] = 0xC0
        return (
            bytes([0x11, 0])
            + (msix.vectors - 1).to_bytes(2, "little")
            + (msix.table | msix.bar).to_bytes(4, "little")
            + (msix.pba | msix.bar).to_bytes(4, "little")
        )

    def _window(self, capability: WindowCapability, at: int) -> None:
        positions = (capability.offset_at, capability.length_at, capability.data_at)
        if any(position % 4 for position in (*positions, capability.bar_at)):
            raise ValueError("The fields of a window start at doublewords")
        self._masks[at + capability.bar_at] = 0xFF
        for position in positions[:2]:
            self._masks[at + position : at + position + 4] = b"\xff" * 4
        self.window = Window(
            bar=(at + capability.bar_at) // 4,
            offset=(at + capability.offset_at) // 4,
            length=(at + capability.length_at) // 4,
            data=(at + capability.data_at) // 4,
        )


def kinds(functions: Sequence[Function]) -> tuple[list[Function], list[int]]:
    """The different declarations, and for each function the index of its own."""
    different = list(dict.fromkeys(functions))
    return different, [different.index(function) for function in functions]
