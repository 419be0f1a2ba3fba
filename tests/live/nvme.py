"""Just enough of an NVMe driver to make a card ask its target for a sector; it polls."""

import os
import struct
import time

from sim.live.client import CONFIG, Client, Memory
from sim.models.nvme.specification import Admin, Config, Csts, Feature, Io, Register

__all__ = ["NvmeHost"]

_BASE, _SIZE = 0x1_0000_0000, 1 << 16
_COMMAND, _MEMORY_AND_MASTER = 4, 6
_MSIX, _MSIX_ENABLE = 0x11, 1 << 15
_ENTRIES = 16
_VECTOR = 1
#: Where queues and data are in memory: submission and completion queue by number.
_SUBMISSION, _COMPLETION, _DATA = (0x0000, 0x2000), (0x1000, 0x3000), 0x4000


class NvmeHost:
    """A controller with a pair of I/O queues of 16 entries, whose interrupts are ``interrupt``."""

    def __init__(self, client: Client):
        self._client, self._memory = client, Memory(_SIZE)
        self._next = [0, 0]
        self.interrupt = os.eventfd(0, os.EFD_NONBLOCK)
        assert client.map(_BASE, _SIZE, self._memory.fd) == 0
        client.write(CONFIG, _COMMAND, 2, _MEMORY_AND_MASTER)
        for register, place in ((Register.ASQ, _SUBMISSION[0]), (Register.ACQ, _COMPLETION[0])):
            client.write(0, register, 8, _BASE + place)
        client.write(0, Register.AQA, 4, (_ENTRIES - 1) * 0x1_0001)
        client.write(0, Register.CC, 4, Config.ENABLE | Config.ENTRY_SIZES)
        self._until(lambda: client.read(0, Register.CSTS, 4) & Csts.READY)
        client.write(CONFIG, dict(client.capabilities())[_MSIX] + 2, 2, _MSIX_ENABLE)
        assert client.events(_VECTOR, (self.interrupt,)) == 0
        queue = 1 | (_ENTRIES - 1) << 16
        self.admin(Admin.CREATE_CQ, _COMPLETION[1], queue, 3 | _VECTOR << 16)
        self.admin(Admin.CREATE_SQ, _SUBMISSION[1], queue, 1 | 1 << 16)

    def coalesce(self, entries: int, time_100us: int) -> None:
        """Have interrupts wait for so many entries, or so long."""
        self.admin(Admin.SET_FEATURES, 0, Feature.COALESCING, time_100us << 8 | entries - 1)

    def admin(self, opcode: Admin, place: int, *words: int) -> None:
        """Carry out an admin command."""
        self._submit(0, opcode, 0, place, words)
        self._until(lambda: self.completed(0))

    def read(self, lba: int) -> None:
        """Ask for a sector of namespace 1."""
        self._submit(1, Io.READ, 1, _DATA, (lba, 0, 0))

    def completed(self, queue: int = 1) -> bool:
        """Take the next completion, which must be good, if it is there."""
        turn, at = divmod(self._next[queue] - 1, _ENTRIES)
        entry = self._memory.read(_COMPLETION[queue] + 16 * at, 16)
        status = int.from_bytes(entry[14:], "little")
        if status & 1 == turn & 1:
            return False
        assert not status >> 1, hex(status >> 1)
        self._ring(2 * queue + 1, (at + 1) % _ENTRIES)
        return True

    def data(self) -> bytes:
        """What was read."""
        return self._memory.read(_DATA, 512)

    def close(self) -> None:
        """Give memory back."""
        self._memory.close()
        os.close(self.interrupt)

    def _submit(self, queue: int, opcode: int, nsid: int, place: int, words) -> None:
        at = self._next[queue] % _ENTRIES
        self._next[queue] += 1
        entry = struct.pack("<II16xQ8x", opcode | at << 16, nsid, _BASE + place)
        entry += struct.pack(f"<{len(words)}I", *words)
        self._memory.write(_SUBMISSION[queue] + 64 * at, entry.ljust(64, b"\0"))
        self._ring(2 * queue, (at + 1) % _ENTRIES)

    def _ring(self, doorbell: int, value: int) -> None:
        self._client.write(0, Register.DOORBELLS + 4 * doorbell, 4, value)

    @staticmethod
    def _until(condition) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "never happened"
            time.sleep(0.005)
