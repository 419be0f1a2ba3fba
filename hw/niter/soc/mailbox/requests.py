"""Messages from the engines, kept until the CPU has read them."""

from amaranth import Array, Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import MAX_FUNCTIONS, MAX_MESSAGE_BYTES, MessageBeat
from niter.ram import Ram
from niter.soc.registers import bridge_of
from niter.stream import Arbiter

__all__ = ["SLOTS", "Requests"]

#: Messages in one block RAM, and 32-bit words of each: two of header, the rest content.
SLOTS, _SLOT_WORDS = 16, 32

_HEADER_WORDS = 2


class Requests(wiring.Component):
    """A queue of messages for each function, all in one block RAM.

    The quota is 16 messages divided among the functions. Taking a message costs two cycles and
    two more a beat; ports take turns.

    Parameters
    ----------
    ports
        Engines.
    functions
        Of all of them together; at most 8.

    Software's accesses are at least three cycles apart, as the core's bridge makes them.

    Members
    -------
    i : array of In(stream.Signature(MessageBeat))
        From the engines.
    credit : Out(8)
        Functions that may send.
    reset : In(8)
        Functions in reset.
    clear : In(8)
        Drop the function's messages and begin a new generation; for one cycle.
    receiving : Out(8)
        The function that a message is coming in for, one bit.
    generation : Out(8), an array over functions
        How often each was cleared.
    bus : In(csr.Signature)
        Registers.
    """

    class Pending(csr.Register, access="r"):
        """Functions with messages."""

        functions: csr.Field(csr.action.R, MAX_FUNCTIONS, doc="A bit a function.")

    class Select(csr.Register, access="w"):
        """Points ``message`` to the beginning of a function's oldest message."""

        function: csr.Field(csr.action.W, 3)

    class Message(csr.Register, access="r"):
        """The next word of it.

        First kind, function, source and generation, a byte each from bit 0 on; then tag (bits
        15:0) and length (bits 31:16); then the content.
        """

        word: csr.Field(csr.action.R, 32)

    class Take(csr.Register, access="rw"):
        """Writing removes the message; reading says whether it was still the one selected."""

        taken: csr.Field(
            csr.action.R, 1, doc="If not, the function was reset: forget what was read."
        )

    def __init__(self, ports: int, functions: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"A mailbox serves 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.ports = ports
        self.functions = functions
        #: Messages of one function that may wait.
        self.quota = SLOTS >> ceil_log2(functions)
        self._pending, self._select = self.Pending(), self.Select()
        self._message, self._take = self.Message(), self.Take()
        self._bridge = bridge_of(
            {
                "pending": self._pending,
                "select": self._select,
                "message": self._message,
                "take": self._take,
            }
        )
        super().__init__(
            {
                "i": In(stream.Signature(MessageBeat)).array(ports),
                "credit": Out(MAX_FUNCTIONS),
                "reset": In(MAX_FUNCTIONS),
                "clear": In(MAX_FUNCTIONS),
                "receiving": Out(MAX_FUNCTIONS),
                "generation": Out(8).array(functions),
                "bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        m.submodules.storage = storage = Ram(shape=32, depth=SLOTS * _SLOT_WORDS, init=[])
        write, read = storage.write_port(), storage.read_port()
        m.submodules.arbiter = arbiter = Arbiter(MessageBeat, self.ports)
        for number, port in enumerate(self.i):
            connect(m, flipped(port), arbiter.i[number])
        beat, header = arbiter.o.payload.packet, arbiter.o.payload.header

        places = ceil_log2(self.quota)
        heads = Array(Signal(places + 1, name=f"head_{f}") for f in range(self.functions))
        tails = Array(Signal(places + 1, name=f"tail_{f}") for f in range(self.functions))
        waits = Signal(MAX_FUNCTIONS)
        for f, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            m.d.comb += [
                waits[f].eq(head != tail),
                self.credit[f].eq((tail - head)[: places + 1] != self.quota),
            ]
            with m.If(self.clear[f]):
                m.d.sync += self.generation[f].eq(self.generation[f] + 1)
        m.d.comb += self._pending.f.functions.r_data.eq(waits)

        def slot(function, place):
            return Cat(place[:places], function[: ceil_log2(self.functions)])

        # In: header first, then each beat's halves. The beat stays until its second half is in.
        at = Signal(range(_SLOT_WORDS))
        half, fits = Signal(), Signal()
        last_word = _HEADER_WORDS + MAX_MESSAGE_BYTES // 4
        function = header.function
        room = self.credit.bit_select(function, 1) & ~self.reset.bit_select(function, 1)
        put, inside = Signal(), Signal(init=1)
        with m.If(inside | arbiter.o.valid):
            m.d.comb += self.receiving.eq(1 << function)
        m.d.comb += [
            write.addr.eq(Cat(at, slot(function, tails[function]))),
            write.en.eq(put & fits),
        ]
        with m.FSM():
            with m.State("KIND"):
                m.d.comb += inside.eq(0)
                source = Cat(arbiter.turn, Const(0, 8 - len(arbiter.turn)))
                head = Cat(header.kind, function, Const(0, 5), source)
                m.d.comb += [
                    put.eq(room),
                    write.en.eq(put & arbiter.o.valid),
                    write.data.eq(Cat(head, Array(self.generation)[function])),
                ]
                m.d.sync += [fits.eq(room), half.eq(0)]
                with m.If(arbiter.o.valid):
                    m.d.sync += at.eq(1)
                    m.next = "TAG"
            with m.State("TAG"):
                m.d.comb += [put.eq(1), write.data.eq(Cat(header.tag, header.length))]
                m.d.sync += at.eq(at + 1)
                m.next = "CONTENT"
            with m.State("CONTENT"), m.If(arbiter.o.valid):
                m.d.comb += [
                    put.eq(1),
                    write.data.eq(beat.data.word_select(half, 32)),
                    arbiter.o.ready.eq(half),
                ]
                m.d.sync += [half.eq(~half), at.eq(at + 1)]
                with m.If(half):
                    with m.If(at == last_word - 1):
                        m.d.sync += fits.eq(0)
                    with m.If(beat.last):
                        m.d.sync += at.eq(0)
                        m.next = "KIND"
                        with m.If(fits & ~beat.error & ~self.reset.bit_select(function, 1)):
                            m.d.sync += tails[function].eq(tails[function] + 1)

        # Out: what is selected stands at the memory's output.
        selected = Signal(3)
        current = Signal()
        word = Signal(range(_SLOT_WORDS))
        taken = Signal()
        take = self._take.w_stb
        m.d.comb += [
            read.addr.eq(Cat(word, slot(selected, heads[selected]))),
            read.en.eq(1),
            self._message.f.word.r_data.eq(read.data),
            self._take.f.taken.r_data.eq(taken),
        ]
        with m.If(self._select.w_stb):
            chosen = self._select.f.function.w_data
            m.d.sync += [selected.eq(chosen), word.eq(0), current.eq(waits.bit_select(chosen, 1))]
        with m.Elif(self._message.f.word.r_stb):
            m.d.sync += word.eq(word + 1)
        with m.If(take):
            m.d.sync += [taken.eq(current), current.eq(0)]
            with m.If(current):
                m.d.sync += heads[selected].eq(heads[selected] + 1)
        with m.If(self.clear.bit_select(selected, 1)):
            m.d.sync += current.eq(0)
        for f, (head, tail) in enumerate(zip(heads, tails, strict=True)):
            with m.If(self.clear[f]):
                m.d.sync += [head.eq(0), tail.eq(0)]
        return m
