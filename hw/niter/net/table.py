"""A table in block RAM that control software writes and the gateware reads."""

from typing import Any

from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr
from niter.stream import Ram

__all__ = ["Table"]


class Table(wiring.Component):
    """Words in block RAM, one bus word each.

    Software writes a word at a time and cannot read back. All words are zero after
    configuration; a reset of the clock domain leaves them. Gateware reads with a latency of
    one cycle. What it reads in the very cycle in which the word is written is not defined:
    software takes an entry out of use before it changes it.

    Parameters
    ----------
    shape
        Shape of a word, at most 32 bits wide; written from the low bits of the bus.
    depth
        Words.
    doc
        What stands in the table, for the generated documents.
    registered
        Read from block RAM. If not, ``data`` follows ``addr`` in the same cycle, from LUTs:
        for a handful of words.

    Members
    -------
    addr : In
        Word to read.
    en : In(1)
        Read it; high unless assigned.
    data : Out(shape)
        The word at ``addr`` of the last cycle in which ``en`` was high.
    bus : In(csr.Signature)
        Write access.
    """

    def __init__(self, shape: Any, depth: int, doc: str, *, registered: bool = True):
        self.registered = registered
        self.depth = depth
        addr_width = ceil_log2(depth)
        kind = Ram if registered else memory.Memory
        self._storage = kind(shape=shape, depth=depth, init=[])
        super().__init__(
            {
                "addr": In(addr_width),
                "en": In(1, init=1),
                "data": Out(shape),
                "bus": In(csr.Signature(addr_width=addr_width)),
            }
        )
        memory_map = csr.MemoryMap(addr_width=addr_width)
        memory_map.add_resource(csr.WordArray(depth, doc), name="words", size=depth)
        self.bus.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = self._storage
        if self.registered:
            read = self._storage.read_port()
            m.d.comb += read.en.eq(self.en)
        else:
            read = self._storage.read_port(domain="comb")
        write = self._storage.write_port()
        m.d.comb += [
            read.addr.eq(self.addr),
            self.data.eq(read.data),
            write.addr.eq(self.bus.addr),
            write.data.eq(self.bus.w_data),
            write.en.eq(self.bus.w_stb),
        ]
        return m
