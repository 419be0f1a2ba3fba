"""MSI-X: the vectors of all functions in one table (7.7.2, and 6.1.4)."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Function, RegisterReply
from niter.stream import Ram

from .count import increment
from .layouts import Interrupt

__all__ = ["MsixAccess", "MsixTable", "Notice"]


class MsixAccess(data.Struct):
    """An access to the table, or a read of the pending bits, of a function."""

    function: 3
    #: Of eight-byte words, from the start of the table or of the pending bits.
    word: 9
    pending_bits: 1
    write: 1
    data: 64
    #: Which doublewords are written: only whole ones can be.
    enables: 2


class Notice(data.Struct):
    """An interrupt's write."""

    function: 3
    address: 64
    data: 32


class _Row(data.Struct):
    """A doubleword of the table. ``pending`` stands beside Vector Control."""

    value: 32
    pending: 1


class MsixTable(wiring.Component):
    """Table and pending bits in RAM, served by a sequencer.

    A vector that is raised while it, its function, or bus mastering is masked stays pending,
    and is sent when that ends: any write of Vector Control and any end of a function's mask
    makes the sequencer look at all vectors of the function, at two cycles for each. Accesses
    come before interrupts, and interrupts before this search; nothing is begun that could
    wait for ``o``, so an access waits for at most 10 cycles, or for as many as a function
    has vectors when the pending bits are read.

    Parameters
    ----------
    functions
        The declarations.

    Members
    -------
    i : In(stream of Interrupt)
        Interrupts. Those of a function without MSI-X enabled, or with a vector that it does
        not have, are dropped.
    o : Out(stream of Notice)
        The writes that they become.
    i_access : In(stream of MsixAccess), o_reply : Out(stream of RegisterReply)
        Register accesses; a reply for each read.
    enable, mask : In(MAX_FUNCTIONS)
        MSI-X Enable; Function Mask, or the function cannot send.
    clear : In(MAX_FUNCTIONS), cleared : Out(MAX_FUNCTIONS)
        Put the function's table back into the state after reset: all vectors masked, none
        pending; strobes when it is done.
    """

    def __init__(self, functions: Sequence[Function]):
        self._vectors = [0 if f.msix is None else f.msix.vectors for f in functions]
        #: Rows of the table that a function takes: vectors rounded up.
        self._stride = 1 << max(1, max(self._vectors) - 1).bit_length()
        super().__init__(
            {
                "i": In(stream.Signature(Interrupt)),
                "o": Out(stream.Signature(Notice)),
                "i_access": In(stream.Signature(MsixAccess)),
                "o_reply": Out(stream.Signature(RegisterReply)),
                "enable": In(MAX_FUNCTIONS),
                "mask": In(MAX_FUNCTIONS),
                "clear": In(MAX_FUNCTIONS),
                "cleared": Out(MAX_FUNCTIONS),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        count, stride = len(self._vectors), self._stride
        m.submodules.table = table = Ram(
            shape=_Row, depth=4 * stride * (1 << (count - 1).bit_length()), init=[]
        )
        self._read, self._write = table.read_port(), table.write_port()
        #: The row at hand.
        self._function, self._vector, self._part = Signal(3), Signal(range(stride)), Signal(2)
        row = Cat(self._part, self._vector, self._function)
        m.d.comb += [self._read.addr.eq(row), self._write.addr.eq(row)]
        #: Functions to be searched for vectors that may be sent now, and the next vector.
        self._search, self._next = Signal(count), Signal(range(stride))
        #: The search begins again: the step under way is not to end or advance it.
        self._anew = Signal()
        self._open = Signal(count)
        opened = Signal(count)
        m.d.comb += self._open.eq(self.enable & ~self.mask)
        m.d.sync += opened.eq(self._open)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.o_reply.ready):
            m.d.sync += self.o_reply.valid.eq(0)
        to_clear, to_search = Signal(3), Signal(3)
        for number in reversed(range(count)):
            with m.If(self.clear[number]):
                m.d.comb += to_clear.eq(number)
            with m.If(self._search[number]):
                m.d.comb += to_search.eq(number)
        # Of Vector Control nothing exists but the mask, and the pending bit beside it.
        self._masked, self._pending = Signal(), Signal()
        self._taken = taken = Signal(MsixAccess)
        written = self._write.data
        with m.If(self._part == 3):
            m.d.comb += [written.value.eq(self._masked), written.pending.eq(self._pending)]
        with m.Else():
            m.d.comb += written.value.eq(Mux(self._part[0], taken.data[32:], taken.data[:32]))
        with m.FSM():
            self._idle(m, to_clear, to_search)
            self._access(m)
            self._interrupt(m)
            with m.State("CLEAR"):
                m.d.comb += [self._masked.eq(1), self._write.en.eq(1)]
                m.d.sync += self._vector.eq(increment(self._vector))
                with m.If(self._vector == stride - 1):
                    m.d.comb += self.cleared.eq(1 << self._function)
                    m.next = "IDLE"
        with m.If((self._open & ~opened).any()):
            m.d.sync += [
                self._search.eq(self._search | (self._open & ~opened)),
                self._next.eq(0),
                self._anew.eq(1),
            ]
        return m

    def _idle(self, m, to_clear, to_search) -> None:
        """Choose what to do, and the row to begin with."""
        count = len(self._vectors)
        access, interrupt = self.i_access.payload, self.i.payload
        self._raised = Signal()
        vectors = Array([*self._vectors, *[0] * (MAX_FUNCTIONS - count)])
        known = self.enable.bit_select(interrupt.function, 1) & (
            interrupt.vector < vectors[interrupt.function]
        )
        with m.State("IDLE"):
            m.d.sync += self._part.eq(3)
            with m.If(self.clear[:count].any()):
                m.d.sync += [self._function.eq(to_clear), self._vector.eq(0)]
                m.next = "CLEAR"
            with m.Elif(self.i_access.valid & ~self.o_reply.valid):
                m.d.comb += self.i_access.ready.eq(1)
                m.d.sync += [self._taken.eq(access), self._function.eq(access.function)]
                with m.If(access.pending_bits):
                    m.d.sync += self._vector.eq(access.word << 6)
                    m.next = "PENDING"
                with m.Else():
                    m.d.sync += [
                        self._vector.eq(access.word[1:]),
                        self._part.eq(Cat(0, access.word[0])),
                    ]
                    m.next = "LOW"
            with m.Elif(self.i.valid & ~self.o.valid):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    self._function.eq(interrupt.function),
                    self._vector.eq(interrupt.vector),
                    self._raised.eq(1),
                ]
                with m.If(known):
                    m.next = "CONTROL"
            with m.Elif(self._search.any() & ~self.o.valid):
                m.d.sync += [
                    self._function.eq(to_search),
                    self._vector.eq(self._next),
                    self._raised.eq(0),
                    self._anew.eq(0),
                ]
                m.next = "CONTROL"

    def _access(self, m) -> None:
        """Read or write the two doublewords of a word; read the pending bits."""
        read, write, taken, reply = self._read, self._write, self._taken, self.o_reply
        shown = min(64, self._stride)
        with m.State("LOW"):
            m.d.comb += write.en.eq(taken.write & taken.enables[0])
            m.d.sync += self._part[0].eq(1)
            m.next = "HIGH"
        with m.State("HIGH"):
            m.d.sync += reply.payload.data[:32].eq(read.data.value)
            m.next = "END"
        with m.State("END"):
            m.d.comb += [
                self._masked.eq(taken.data[32]),
                self._pending.eq(read.data.pending),
                write.en.eq(taken.write & taken.enables[1]),
            ]
            m.d.sync += [
                reply.payload.data[32:].eq(read.data.value),
                reply.valid.eq(~taken.write),
            ]
            with m.If(write.en & self._part[1]):
                m.d.sync += [
                    self._search.bit_select(self._function, 1).eq(1),
                    self._next.eq(0),
                ]
            m.next = "IDLE"
        with m.State("PENDING"):
            m.d.sync += [self._vector.eq(increment(self._vector)), reply.payload.data.eq(0)]
            m.next = "SHIFT"
        with m.State("SHIFT"):
            bits = reply.payload.data[:shown]
            m.d.sync += [
                bits.eq(Cat(bits[1:], read.data.pending)),
                self._vector.eq(increment(self._vector)),
            ]
            with m.If(self._vector % shown == 0):
                m.d.sync += reply.valid.eq(1)
                m.next = "IDLE"

    def _interrupt(self, m) -> None:
        """Look at one vector: keep it pending, or send it."""
        read, write, notice = self._read, self._write, self.o.payload
        masked = ~self._open.bit_select(self._function, 1) | read.data.value[0]
        with m.State("CONTROL"):
            m.next = "DECIDE"
        with m.State("DECIDE"):
            m.d.comb += [
                self._masked.eq(read.data.value[0]),
                self._pending.eq((self._raised | read.data.pending) & masked),
                write.en.eq(1),
            ]
            m.d.sync += [self._part.eq(0), notice.function.eq(self._function)]
            with m.If(~self._raised & ~self._anew):
                m.d.sync += self._next.eq(increment(self._next))
                with m.If(self._vector == self._stride - 1):
                    m.d.sync += self._search.bit_select(self._function, 1).eq(0)
            m.next = "IDLE"
            with m.If((self._raised | read.data.pending) & ~masked):
                m.next = "ADDRESS"
        with m.State("ADDRESS"):
            m.d.sync += self._part.eq(1)
            m.next = "ADDRESS_HIGH"
        with m.State("ADDRESS_HIGH"):
            m.d.sync += [notice.address[:32].eq(read.data.value), self._part.eq(2)]
            m.next = "DATA"
        with m.State("DATA"):
            m.d.sync += notice.address[32:].eq(read.data.value)
            m.next = "SEND"
        with m.State("SEND"):
            m.d.sync += [notice.data.eq(read.data.value), self.o.valid.eq(1)]
            m.next = "IDLE"
