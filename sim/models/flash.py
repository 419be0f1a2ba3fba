"""A SPI NOR flash of the common kind, bit by bit, written from vendors' data sheets.

Single-bit mode 0 transfers. It does what a device does to a command that is cut off: a program or
erase takes place when chip select rises at the end of a byte, and only then.
"""

__all__ = ["SpiFlash"]

_WRITE_ENABLED, _PAGE, _SECTOR = 2, 256, 4096


class SpiFlash:
    """The memory and the state of the device.

    Parameters
    ----------
    size
        Bytes, a power of two. Address bits beyond it are ignored.
    """

    def __init__(self, size: int):
        self.memory = bytearray(b"\xff" * size)
        #: Status registers 1 to 3.
        self.status = [0, 0, 0]
        #: What commands have done to the device's modes, such as four-byte addresses.
        self.modes: list[int] = []
        self.cipo = 0
        self._selected = False
        self._clock = 0
        self._begin()

    def _begin(self) -> None:
        self._bits: list[int] = []
        self._reply: list[int] = []

    def levels(self, cs_n: int, sck: int, copi: int) -> int:
        """Put levels on the pins; returns that of ``cipo``."""
        if cs_n:
            if self._selected:
                self._execute()
            self._selected = False
            self.cipo = 0
        elif not self._selected:
            self._selected = True
            self._begin()
        elif sck and not self._clock:
            self._bits.append(copi)
        elif not sck and self._clock:
            self._shift_out()
        self._clock = sck
        return self.cipo

    def _bytes(self) -> bytes:
        whole = len(self._bits) // 8 * 8
        return bytes(
            int("".join(map(str, self._bits[at : at + 8])), 2) for at in range(0, whole, 8)
        )

    def _address(self, sent: bytes) -> int:
        return int.from_bytes(sent[1:4], "big") % len(self.memory)

    def _shift_out(self) -> None:
        if len(self._bits) % 8 == 0:
            self._reply = [self._output(self._bytes()) >> bit & 1 for bit in range(7, -1, -1)]
        self.cipo = self._reply.pop(0) if self._reply else 0

    def _output(self, sent: bytes) -> int:
        """The byte that leaves while the one behind ``sent`` comes in."""
        opcode = sent[0]
        if opcode in (0x03, 0x0B):
            header = 4 if opcode == 0x03 else 5
            if len(sent) >= header:
                at = self._address(sent) + len(sent) - header
                return self.memory[at % len(self.memory)]
        if opcode == 0x9F and len(sent) <= 3:
            return b"\xef\x40\x18"[len(sent) - 1]
        if opcode in (0x05, 0x35, 0x15):
            return self.status[(0x05, 0x35, 0x15).index(opcode)]
        return 0

    def _execute(self) -> None:
        if not self._bits or len(self._bits) % 8:
            return
        sent = self._bytes()
        opcode, enabled = sent[0], self.status[0] & _WRITE_ENABLED
        if opcode == 0x06 and len(sent) == 1:
            self.status[0] |= _WRITE_ENABLED
        elif opcode == 0x04 and len(sent) == 1:
            self.status[0] &= ~_WRITE_ENABLED
        elif opcode == 0x02 and len(sent) > 4:
            if enabled:
                page, at = divmod(self._address(sent), _PAGE)
                for index, value in enumerate(sent[4:]):
                    self.memory[page * _PAGE + (at + index) % _PAGE] &= value
            self.status[0] &= ~_WRITE_ENABLED
        elif opcode in (0x20, 0x52, 0xD8) and len(sent) == 4:
            if enabled:
                size = {0x20: _SECTOR, 0x52: 8 * _SECTOR, 0xD8: 16 * _SECTOR}[opcode]
                start = self._address(sent) // size * size
                self.memory[start : start + size] = b"\xff" * size
            self.status[0] &= ~_WRITE_ENABLED
        elif opcode in (0x60, 0xC7) and len(sent) == 1:
            if enabled:
                self.memory[:] = b"\xff" * len(self.memory)
        elif opcode in (0x01, 0x31, 0x11) and len(sent) > 1:
            self.status[(0x01, 0x31, 0x11).index(opcode)] = sent[1]
        elif opcode in (0xB7, 0xE9, 0xB9, 0xAB, 0x66, 0x99, 0x38, 0x50, 0x75, 0x7A, 0x98, 0x7E):
            self.modes.append(opcode)
        elif opcode in (0x12, 0x21, 0xDC, 0x42, 0x44, 0x32, 0x36, 0x39):
            # Four-byte, one-time programmable, quad and lock commands.
            self.modes.append(opcode)
