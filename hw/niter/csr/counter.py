"""A bank of 64-bit event counters in one block RAM."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from niter.ram import Ram

from .bus import DATA_WIDTH, Signature
from .memory import MemoryMap

__all__ = ["CounterArray", "CounterBank"]


class CounterArray:
    """What the memory map holds for a counter bank: names and meaning of its counters.

    Parameters
    ----------
    names
        One name a counter, in order of their index.
    doc
        What is counted.
    """

    def __init__(self, names: list[str], doc: str):
        self.names = names
        self.doc = doc


class CounterBank(wiring.Component):
    """Counts events in 64-bit counters that live in RAM.

    Counter ``n`` reads as words ``2 n`` (low half) and ``2 n + 1`` (high half). Reading the
    low half takes a snapshot of the high half of the same moment, which the high word shows
    until another low half is read: read low first, and the 64 bits belong together.
    Counters start at zero after configuration, wrap at 2**64, and keep counting through a
    reset of the clock domain. They cannot be written.

    An increment takes 4 cycles, 6 when it carries into the high half; a read on the
    bus delays it by two. Up to 256 counters take one EBR.

    Parameters
    ----------
    names
        One name a counter, for the generated documents; their number is the bank's depth.
    amount_width
        Width of an increment in bits, at most 32.
    doc
        What is counted, for the generated documents.

    Members
    -------
    i : In(stream.Signature({index, amount}))
        Events: add ``amount`` to counter ``index``. An index beyond the bank's depth must
        not be given.
    bus : In(Signature)
        Read access.
    """

    def __init__(self, names: list[str], *, amount_width: int = 14, doc: str = ""):
        if not 1 <= amount_width <= DATA_WIDTH:
            raise ValueError(f"Amount width must be 1 to {DATA_WIDTH}, not {amount_width!r}")
        self.names = list(names)
        self.depth = len(self.names)
        self.amount_width = amount_width
        index_width = max(1, ceil_log2(self.depth))
        self.increment = data.StructLayout({"index": index_width, "amount": amount_width})
        addr_width = index_width + 1
        super().__init__(
            {
                "i": In(stream.Signature(self.increment)),
                "bus": In(Signature(addr_width=addr_width)),
            }
        )
        memory_map = MemoryMap(addr_width=addr_width)
        memory_map.add_resource(CounterArray(self.names, doc), name="counters", size=2 * self.depth)
        self.bus.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bus = self.bus
        m.submodules.storage = storage = Ram(shape=DATA_WIDTH, depth=1 << bus.addr_width, init=[])
        read = storage.read_port()
        write = storage.write_port()

        # Software's accesses come first. A low half is always followed by its high half, which
        # goes into the snapshot; the counting side waits meanwhile.
        low_read = Signal()
        snapshot_due = Signal()
        snapshot_index = Signal(bus.addr_width - 1)
        snapshot = Signal(DATA_WIDTH)
        show_ram = Signal()
        show_snapshot = Signal()
        m.d.comb += low_read.eq(bus.r_stb & ~bus.addr[0])
        m.d.sync += [
            snapshot_index.eq(bus.addr[1:]),
            snapshot_due.eq(low_read),
            show_ram.eq(low_read),
            show_snapshot.eq(bus.r_stb & bus.addr[0]),
        ]
        fetched = Signal()
        m.d.sync += fetched.eq(snapshot_due)
        with m.If(fetched):
            m.d.sync += snapshot.eq(read.data)
        m.d.comb += bus.r_data.eq(
            (read.data & (show_ram | (show_snapshot & fetched)).replicate(DATA_WIDTH))
            | (snapshot & (show_snapshot & ~fetched).replicate(DATA_WIDTH))
        )
        software = Signal()
        m.d.comb += software.eq(low_read | snapshot_due)

        # Counting. Nothing is written in a cycle in which software reads, except the high half
        # that carried: it follows its low half at once. Software's two reads, in consecutive
        # cycles too, then see both halves of a carry or neither, and never a word being written.
        index = Signal(bus.addr_width - 1)
        amount = Signal(self.amount_width)
        high = Signal()
        low_sum = Signal(DATA_WIDTH)
        total = Signal(DATA_WIDTH + 1)
        m.d.comb += [
            read.addr.eq(
                Mux(
                    low_read,
                    bus.addr,
                    Mux(snapshot_due, Cat(1, snapshot_index), Cat(high, index)),
                )
            ),
            write.addr.eq(Cat(high, index)),
            write.data.eq(total),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    high.eq(0),
                    index.eq(self.i.payload.index),
                    amount.eq(self.i.payload.amount),
                ]
                with m.If(self.i.valid):
                    m.next = "Read"
            with m.State("Read"), m.If(~software):
                m.next = "Add"
            with m.State("Add"):
                m.d.sync += total.eq(read.data + amount)
                m.next = "Check"
            with m.State("Check"):
                with m.If(total[-1] & ~high):
                    m.d.sync += [high.eq(1), amount.eq(1), low_sum.eq(total)]
                    m.next = "Read"
                with m.Elif(~software):
                    m.d.comb += write.en.eq(1)
                    m.next = "Idle"
                    with m.If(high):
                        m.next = "Write high"
                # Whether software reads is known late: only the writing depends on it.
                with m.If(high):
                    m.d.comb += [write.addr[0].eq(0), write.data.eq(low_sum)]
            with m.State("Write high"):
                m.d.comb += write.en.eq(1)
                m.next = "Idle"
        return m
