"""A SPI flash on the pins of a bench, fast enough for whole images.

Written from Winbond's data sheet of the W25Q128JV (revision of 2018), section 8: single-bit SPI in
mode 0; a command that is cut off in the middle of a byte, comes without write enable or while the
part is busy does nothing. Times of programming and erasing are the bench's choice: the typical ones
(0.7 ms a page, 45 ms a sector) would take most of a simulation.
"""

from collections.abc import Mapping

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotb.utils import get_sim_time

__all__ = ["FLASH_BYTES", "FlashModel", "flash_image"]

FLASH_BYTES = 16 << 20
_PAGE, _SECTOR = 256, 4096
_IDENTITY = bytes.fromhex("ef4018")
_BUSY, _ENABLED = 1, 2
#: Bytes that each erase command sets.
_ERASES = {0x20: 4 << 10, 0x52: 32 << 10, 0xD8: 64 << 10, 0xC7: FLASH_BYTES, 0x60: FLASH_BYTES}


def flash_image(pieces: Mapping[int, bytes]) -> bytes:
    """All of the part's bytes: pieces by their address, and what is erased between them."""
    content = bytearray(b"\xff" * FLASH_BYTES)
    for address, piece in pieces.items():
        content[address : address + len(piece)] = piece
    return bytes(content)


class FlashModel:
    """The part, on pins of the device under test.

    Parameters
    ----------
    dut, name
        The port with ``cs_n``, ``sck``, ``copi`` and ``cipo``.
    content
        Pieces of content by address; the rest is erased.
    program_ns, erase_ns
        How long the part is busy.

    Members
    -------
    log
        Opcode and address of each command that had an effect or was answered.
    """

    def __init__(
        self,
        dut,
        name: str,
        content: Mapping[int, bytes],
        *,
        program_ns: float = 2000,
        erase_ns: float = 5000,
    ) -> None:
        self._cs_n, self._sck, self._copi, self._cipo = (
            getattr(dut, f"{name}__{pin}") for pin in ("cs_n", "sck", "copi", "cipo")
        )
        self._sectors: dict[int, bytearray] = {}
        self._program_ns, self._erase_ns = program_ns, erase_ns
        self._ready_at = 0.0
        self._enabled = False
        self.log: list[tuple[int, int]] = []
        self._bits = 0
        self._received = bytearray()
        for address, piece in content.items():
            self.load(address, piece)
        cocotb.start_soon(self._run())

    def load(self, address: int, content: bytes) -> None:
        """Put content there, as a programmer on the bench would."""
        for number, byte in enumerate(content, address):
            self._sector(number)[number % _SECTOR] = byte

    def dump(self, address: int, length: int) -> bytes:
        """What stands there."""
        return bytes(self._sector(n)[n % _SECTOR] for n in range(address, address + length))

    def _sector(self, address: int) -> bytearray:
        number = address % FLASH_BYTES // _SECTOR
        if number not in self._sectors:
            self._sectors[number] = bytearray(b"\xff" * _SECTOR)
        return self._sectors[number]

    @property
    def busy(self) -> bool:
        """A program or erase is under way."""
        return get_sim_time("ns") < self._ready_at

    async def _run(self) -> None:
        while True:
            await FallingEdge(self._cs_n)
            self._received.clear()
            self._bits = 0
            command = cocotb.start_soon(self._command())
            await RisingEdge(self._cs_n)
            command.cancel()
            self._deselected()

    async def _receive(self) -> int:
        byte = 0
        for _ in range(8):
            await RisingEdge(self._sck)
            byte = byte << 1 | int(self._copi.value)
            self._bits += 1
        self._received.append(byte)
        return byte

    async def _send(self, byte: int) -> None:
        for position in range(7, -1, -1):
            await FallingEdge(self._sck)
            self._cipo.value = byte >> position & 1

    async def _command(self) -> None:
        opcode = await self._receive()
        if opcode == 0x05:
            while True:
                await self._send(_BUSY * self.busy | _ENABLED * self._enabled)
        if self.busy:
            return
        if opcode == 0x9F:
            for byte in _IDENTITY:
                await self._send(byte)
        elif opcode in (0x03, 0x0B):
            address = 0
            for _ in range(3):
                address = address << 8 | await self._receive()
            if opcode == 0x0B:
                await self._receive()
            self.log.append((opcode, address))
            while True:
                await self._send(self._sector(address)[address % _SECTOR])
                address = (address + 1) % FLASH_BYTES
        else:
            while True:
                await self._receive()

    def _deselected(self) -> None:
        """Commands that change something take effect as the part is deselected after a byte."""
        if self._bits % 8 or not self._received or self.busy:
            return
        opcode, *rest = self._received
        if opcode in (0x06, 0x04):
            self._enabled = opcode == 0x06
            return
        if not self._enabled:
            return
        address = int.from_bytes(bytes(rest[:3]), "big")
        if opcode == 0x02 and len(rest) > 3:
            for number, byte in enumerate(rest[3:]):
                at = address // _PAGE * _PAGE + (address + number) % _PAGE
                self._sector(at)[at % _SECTOR] &= byte
            self._changed(opcode, address, self._program_ns)
        elif opcode in (0x20, 0x52, 0xD8) and len(rest) == 3:
            size = _ERASES[opcode]
            start = address // size * size
            for at in range(start, start + size, _SECTOR):
                self._sector(at)[:] = b"\xff" * _SECTOR
            self._changed(opcode, start, self._erase_ns)
        elif opcode in (0xC7, 0x60) and not rest:
            self._sectors.clear()
            self._changed(opcode, 0, self._erase_ns)

    def _changed(self, opcode: int, address: int, duration: float) -> None:
        self.log.append((opcode, address))
        self._enabled = False
        self._ready_at = get_sim_time("ns") + duration
