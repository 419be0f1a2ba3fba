"""A table that control software writes and the gateware reads."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.hdl import Shape
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr
from niter.ram import Ram

__all__ = ["Table"]

#: What one LUT-RAM cell holds.
_LUT_RAM_DEPTH = 16


class Table(wiring.Component):
    """Rows of one or more words, one bus word each.

    Software writes a word at a time, and cannot read back unless the table is ``readable``. All
    words are zero after configuration; a reset of the clock domain leaves them. Gateware reads
    whole rows with a latency of one cycle. What it reads in the very cycle in which the row is
    written is not defined: software takes an entry out of use before it changes it.

    Up to 16 rows stand in LUT-RAM, at 6 COMB for 4 bits; more in block RAM.

    Parameters
    ----------
    shape
        Shape of a word, at most 32 bits wide; written from the low bits of the bus.
    depth
        Rows.
    doc
        What stands in the table, for the generated documents.
    columns
        Words of a row. Word ``c`` of row ``r`` stands at bus address ``c * depth + r``;
        then ``depth`` is a power of two.
    registered
        If not, ``data`` follows ``addr`` in the same cycle, from LUTs: for a handful of words.
    readable
        Software reads words back, through the port of the block RAM that it writes by: a
        multiplexer of the columns is all that it costs. LUT-RAM is doubled for it.

    Members
    -------
    addr : In
        Row to read.
    en : In(1)
        Read it; high unless assigned.
    data : Out
        The row at ``addr`` of the last cycle in which ``en`` was high, column 0 lowest; with one
        column, of shape ``shape``.
    bus : In(csr.Signature)
        Software's access.
    """

    def __init__(
        self,
        shape: Any,
        depth: int,
        doc: str,
        *,
        columns: int = 1,
        registered: bool = True,
        readable: bool = False,
    ):
        self.registered = registered
        self.readable = readable
        self.depth = depth
        self.columns = columns
        addr_width = ceil_log2(depth * columns)
        large = registered and depth > _LUT_RAM_DEPTH
        kind = Ram if large else memory.Memory
        self._storage = [kind(shape=shape, depth=depth, init=[]) for _ in range(columns)]
        super().__init__(
            {
                "addr": In(ceil_log2(depth)),
                "en": In(1, init=1),
                "data": Out(shape if columns == 1 else Shape.cast(shape).width * columns),
                "bus": In(csr.Signature(addr_width=addr_width)),
            }
        )
        memory_map = csr.MemoryMap(addr_width=addr_width)
        words = csr.WordArray(depth * columns, doc, access="rw" if readable else "w")
        memory_map.add_resource(words, name="words", size=depth * columns)
        self.bus.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        row_bits = len(self.addr)
        row, shown = [], []
        for column, storage in enumerate(self._storage):
            m.submodules[f"storage_{column}" if self.columns > 1 else "storage"] = storage
            read = storage.read_port(domain="sync" if self.registered else "comb")
            if self.registered:
                m.d.comb += read.en.eq(self.en)
            write = storage.write_port()
            row.append(read.data)
            here = self.bus.addr[row_bits:] == column
            m.d.comb += [
                read.addr.eq(self.addr),
                write.addr.eq(self.bus.addr),
                write.data.eq(self.bus.w_data),
                write.en.eq(self.bus.w_stb & here),
            ]
            if self.readable:
                back = storage.read_port()
                asked = Signal(name=f"asked_{column}")
                m.d.comb += [back.addr.eq(self.bus.addr), back.en.eq(1)]
                m.d.sync += asked.eq(self.bus.r_stb & here)
                word = Value.cast(back.data)
                shown.append(word & asked.replicate(len(word)))
        if self.readable:
            m.d.comb += self.bus.r_data.eq(reduce(or_, shown))
        m.d.comb += self.data.eq(row[0] if self.columns == 1 else Cat(row))
        return m
