"""The namespace table: which namespaces a function has, and which volumes they are."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from niter import csr
from niter.ram import Ram

from .layouts import LookupPort

__all__ = ["NamespaceRecord", "Namespaces"]


class NamespaceRecord:
    """Where the words of a namespace's record stand in the table.

    The record of NSID ``n`` of function ``f`` begins at word ``STRIDE * (f * per + n - 1)``,
    where ``per`` is the number of namespaces rounded up to a power of two. It is taken out of
    use, with a zero in ``FLAGS``, before its other words are changed.
    """

    #: Words from one record to the next.
    STRIDE = 4
    #: The flags below, and the volume's index in bits 7:4.
    FLAGS = 0
    ACTIVE = 1 << 0
    READ_ONLY = 1 << 1
    #: Blocks have 4096 bytes instead of 512.
    LARGE = 1 << 2
    VOLUME_SHIFT = 4
    #: Size in blocks: bits 31:0, then bits 55:32.
    BLOCKS = 1
    #: Words that are looked at.
    WORDS = 3


class Namespaces(wiring.Component):
    """Reads a namespace's record, a word a cycle.

    That takes 5 cycles from ``start`` to ``done``, more if control writes at the same time.

    Parameters
    ----------
    functions
        1 to 8.
    namespaces
        Of each, 1 to 16.

    Members
    -------
    lookup : In(LookupPort)
        Who asks; the flags stand two cycles before ``done``.
    csr : In(csr.Signature)
        The table.
    """

    def __init__(self, functions: int, namespaces: int):
        self.functions = functions
        self.namespaces = namespaces
        self._index_bits = ceil_log2(namespaces)
        words = NamespaceRecord.STRIDE << (self._index_bits + ceil_log2(functions))
        memory_map = csr.MemoryMap(addr_width=ceil_log2(words))
        memory_map.add_resource(
            csr.WordArray(words, "Namespace table: a record of words for each namespace."),
            name="namespaces",
            size=words,
        )
        super().__init__(
            {
                "lookup": In(LookupPort),
                "csr": In(csr.Signature(addr_width=memory_map.addr_width)),
            }
        )
        self.csr.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        lookup, record = self.lookup, self.lookup.record
        m.submodules.table = table = Ram(
            shape=csr.DATA_WIDTH, depth=1 << self.csr.addr_width, init=[]
        )
        read, write = table.read_port(), table.write_port()
        asked = Signal(2)
        arrives, which = Signal(), Signal(2)
        active = Signal()
        m.d.comb += [
            write.addr.eq(self.csr.addr),
            write.data.eq(self.csr.w_data),
            write.en.eq(self.csr.w_stb),
            read.addr.eq(Cat(asked, lookup.index[: self._index_bits], lookup.function)),
            # A word that is being written reads as anything.
            read.en.eq(active & ~self.csr.w_stb),
        ]
        m.d.sync += [arrives.eq(read.en), which.eq(asked), lookup.done.eq(0)]
        with m.If(lookup.start):
            m.d.sync += [active.eq(1), asked.eq(0)]
        with m.Elif(read.en):
            m.d.sync += asked.eq(asked + 1)
            with m.If(asked == NamespaceRecord.WORDS - 1):
                m.d.sync += active.eq(0)
        with m.If(arrives), m.Switch(which):
            with m.Case(NamespaceRecord.FLAGS):
                m.d.sync += Cat(record.active, record.read_only, record.large).eq(read.data)
                m.d.sync += record.volume.eq(read.data[NamespaceRecord.VOLUME_SHIFT :])
            with m.Case(NamespaceRecord.BLOCKS):
                m.d.sync += record.blocks[:32].eq(read.data)
            with m.Case(NamespaceRecord.BLOCKS + 1):
                m.d.sync += [record.blocks[32:].eq(read.data), lookup.done.eq(1)]
        return m
