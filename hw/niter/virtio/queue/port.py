"""Where ring addresses are made: the one way from the engine's parts to host memory."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import HostWrite, PacketStream, ReadCommand, WriteKind
from niter.stream import Ram

from .geometry import Geometry
from .messages import Access, AccessKind, AreaId, Context

__all__ = ["AddressWrite", "RingPort"]


class AddressWrite(data.Struct):
    """Half an address for the book."""

    of: AreaId
    high: 1
    word: 32


class RingPort(wiring.Component):
    """Adds an access' offset to its area's address and issues it.

    The addresses of all areas and of the indirect tables stand in one RAM, 32 bits wide,
    and one adder serves reads and writes in two steps: an access takes three cycles. A read
    leaves only when all writes before it were accepted.

    Parameters
    ----------
    geometry
        Size of the engine.
    sources
        Number of parts that ask; the first goes first.

    Members
    -------
    i : In(stream.Signature(Access)), an array
        What the parts want. An access is accepted when it is begun.
    run : In(PacketStream)
        Bytes of a longer write of source 0, which gives them ahead of the access.
    book : In(AddressWrite), book_valid : In(1)
        Stores half an address.
    command : Out(stream.Signature(ReadCommand))
    write : Out(HostWrite)
    quiet : Out(1)
        No accepted write is left inside.
    """

    def __init__(self, geometry: Geometry, sources: int):
        self.geometry = geometry
        self.sources = sources
        super().__init__(
            {
                "i": In(stream.Signature(Access)).array(sources),
                "run": In(PacketStream),
                "book": In(AddressWrite),
                "book_valid": In(1),
                "command": Out(stream.Signature(ReadCommand)),
                "write": Out(HostWrite),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.addresses = addresses = Ram(shape=32, depth=8 * self.geometry.rows, init=[])
        store = addresses.write_port()
        load = addresses.read_port()
        m.d.comb += [
            store.addr.eq(Cat(self.book.high, self.book.of)),
            store.data.eq(self.book.word),
            store.en.eq(self.book_valid),
        ]

        read, write = self.command, self.write
        writing = Signal()
        m.d.comb += writing.eq(write.command.valid | write.data.valid)
        with m.If(read.ready):
            m.d.sync += read.valid.eq(0)
        with m.If(write.command.ready):
            m.d.sync += write.command.valid.eq(0)

        now = Signal(Access)
        low = Signal(32)
        carry = Signal()
        address = Cat(low, (load.data + carry)[:32])
        idle = Signal()
        context = Signal(Context)
        m.d.comb += [
            context.kind.eq(now.kind.as_value()[:2]),
            context.row.eq(Cat(now.of.index, now.of.function)),
            context.extra.eq(now.value),
        ]

        # Bytes of a run pass, unless a value that was asked for earlier has to go first.
        run_open = idle | (now.kind != AccessKind.WRITE)
        with m.If(~write.data.valid | write.data.ready):
            m.d.comb += self.run.ready.eq(run_open)
            m.d.sync += [
                write.data.valid.eq(self.run.valid & run_open),
                write.data.p.eq(self.run.p),
            ]
        # Bytes of a run are on their way, and their command has yet to come.
        ahead = Signal()
        with m.If(self.run.valid):
            m.d.sync += ahead.eq(1)

        # The first source that may go.
        allowed = Signal(self.sources)
        granted = Signal()
        chosen = self.i[-1].p
        for number, i in reversed(list(enumerate(self.i))):
            is_read = AccessKind.is_read(i.p.kind)
            orderly = is_read | ~(self.run.valid | ahead) if number else C(1)
            before = allowed[:number].any()
            m.d.comb += [
                allowed[number].eq(i.valid & ~writing & ~(is_read & read.valid) & orderly),
                i.ready.eq(granted & allowed[number] & ~before),
            ]
            chosen = Access(Mux(allowed[number], Cat(i.p), Cat(chosen)))

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [idle.eq(1), load.addr.eq(Cat(C(0, 1), chosen.of))]
                m.d.sync += now.eq(chosen)
                with m.If(allowed.any()):
                    m.d.comb += granted.eq(1)
                    with m.If(chosen.kind == AccessKind.WRITE_RUN):
                        m.d.sync += ahead.eq(0)
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += load.addr.eq(Cat(C(1, 1), now.of))
                m.d.sync += Cat(low, carry).eq(load.data + now.offset)
                m.next = "ISSUE"
            with m.State("ISSUE"):
                with m.If(AccessKind.is_read(now.kind)):
                    m.d.sync += [
                        read.valid.eq(1),
                        read.p.address.eq(address),
                        read.p.length.eq(now.length),
                        read.p.function.eq(now.of.function),
                        read.p.context.eq(context),
                    ]
                with m.Else():
                    m.d.sync += [
                        write.command.valid.eq(1),
                        write.command.p.address.eq(address),
                        write.command.p.length.eq(now.length),
                        write.command.p.function.eq(now.of.function),
                        write.command.p.vector.eq(now.value),
                        write.command.p.kind.eq(WriteKind.MEMORY),
                    ]
                    with m.If(now.kind == AccessKind.INTERRUPT):
                        m.d.sync += write.command.p.kind.eq(WriteKind.INTERRUPT)
                    with m.Elif(now.kind == AccessKind.WRITE):
                        m.d.sync += [
                            write.data.valid.eq(1),
                            write.data.p.data[:16].eq(now.value),
                            write.data.p.empty.eq(6),
                            write.data.p.last.eq(1),
                        ]
                m.next = "IDLE"

        m.d.comb += self.quiet.eq(idle & ~writing)
        return m
