"""The controller of the card's own SPI flash: read, program, erase, and nothing else."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.security.flash_guard import SpiBus

from .registers import bridge_of

__all__ = ["FlashController", "FlashOperation"]


class FlashOperation(enum.Enum, shape=2):
    """What the controller can do; each makes the SPI commands that it needs."""

    READ = 0
    PROGRAM = 1
    ERASE = 2
    STATUS = 3


_WRITE_ENABLE = 0x06
_OPCODE = {
    FlashOperation.READ: 0x03,
    FlashOperation.PROGRAM: 0x02,
    FlashOperation.ERASE: 0x20,
    FlashOperation.STATUS: 0x05,
}


class FlashController(wiring.Component):
    """Makes SPI commands of operations, so that software composes none itself.

    SPI mode 0 at half of the clock; a byte takes 19 cycles, and the clock rests while software has
    not taken the word that was read or not given the word to be programmed. The part's data is
    sampled two cycles after the pin's edge that moved it, of which the guard takes one: at
    62.5 MHz that leaves the part and the pins more than 16 ns.

    Members
    -------
    bus : In(csr.Signature)
        Registers.
    pins : Out(SpiBus)
        The part, or the guard before it.
    """

    class Address(csr.Register, access="w"):
        """Where the next operation begins."""

        value: csr.Field(csr.action.WO, 24, doc="Byte address; a multiple of 4.")

    class Command(csr.Register, access="w"):
        """Begins an operation; ignored while ``busy``."""

        operation: csr.Field(csr.action.W, FlashOperation)
        words: csr.Field(
            csr.action.W, 15, doc="READ, PROGRAM: how many; at least one, at most 64 to program."
        )

    class Data(csr.Register, access="rw"):
        """Words of READ and PROGRAM in order, first byte in bits 7:0.

        After STATUS, the part's status register in bits 31:24.
        """

        word: csr.Field(csr.action.R, 32)

    class Status(csr.Register, access="r"):
        """How the operation goes."""

        busy: csr.Field(csr.action.R, 1, doc="Under way. The part itself may be busy longer.")
        ready: csr.Field(csr.action.R, 1, doc="A word can be read from ``data``, or written to it.")

    def __init__(self):
        self._address, self._command = self.Address(), self.Command()
        self._data, self._status = self.Data(), self.Status()
        self._bridge = bridge_of(
            {
                "address": self._address,
                "command": self._command,
                "data": self._data,
                "status": self._status,
            }
        )
        super().__init__(
            {
                "bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
                "pins": Out(SpiBus),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        begin, byte = Signal(), Signal(8)
        done, taken = self._shifter(m, begin, byte)

        given = self._command.f
        operation = Signal(FlashOperation)
        words, word, full = Signal(15), Signal(32), Signal()
        index, step = Signal(2), Signal(2)
        busy = Signal(init=1)
        reading = operation == FlashOperation.READ
        programming = operation == FlashOperation.PROGRAM
        m.d.comb += [
            self._status.f.busy.r_data.eq(busy),
            self._status.f.ready.r_data.eq(Mux(programming, busy & ~full, full)),
            self._data.f.word.r_data.eq(word),
        ]
        with m.If(self._data.f.word.r_stb & ~programming):
            m.d.sync += full.eq(0)
        with m.If(self._data.w_stb & programming & ~full & busy):
            m.d.sync += [word.eq(self._data.w_data), full.eq(1)]

        select = Signal()
        m.d.comb += self.pins.cs_n.eq(~select)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += busy.eq(0)
                m.d.sync += [
                    operation.eq(given.operation.w_data),
                    words.eq(given.words.w_data),
                    step.eq(0),
                    index.eq(0),
                ]
                with m.If(self._command.w_stb):
                    m.d.sync += [full.eq(0), select.eq(1)]
                    m.next = "OPCODE"
                    with m.If(
                        (given.operation.w_data == FlashOperation.PROGRAM)
                        | (given.operation.w_data == FlashOperation.ERASE)
                    ):
                        m.next = "ENABLE"
            with m.State("ENABLE"):
                m.d.comb += [begin.eq(1), byte.eq(_WRITE_ENABLE)]
                m.next = "ENABLED"
            with m.State("ENABLED"), m.If(done):
                m.d.sync += select.eq(0)
                m.next = "GAP"
            # The part wants to be deselected for tens of nanoseconds.
            with m.State("GAP"):
                m.d.sync += index.eq(index + 1)
                with m.If(index.all()):
                    m.d.sync += select.eq(1)
                    m.next = "OPCODE"
            with m.State("OPCODE"):
                m.d.comb += begin.eq(1)
                with m.Switch(operation):
                    for each, code in _OPCODE.items():
                        with m.Case(each):
                            m.d.comb += byte.eq(code)
                m.next = "SENT"
            with m.State("SENT"), m.If(done):
                m.d.sync += step.eq(step + 1)
                m.next = "ADDRESS"
                with m.If((operation == FlashOperation.STATUS) | step.all()):
                    m.next = "DATA"
                    with m.If(operation == FlashOperation.ERASE):
                        m.next = "END"
            with m.State("ADDRESS"):
                m.d.comb += begin.eq(1)
                with m.Switch(step):
                    for number in (1, 2, 3):
                        with m.Case(number):
                            address = self._address.f.value.data
                            m.d.comb += byte.eq(address.word_select(3 - number, 8))
                m.next = "SENT"
            with m.State("DATA"):
                # Software is waited for between words only.
                wait = Mux(reading, full & (index == 0), programming & ~full)
                m.d.comb += [begin.eq(~wait), byte.eq(word.word_select(index, 8))]
                with m.If(~wait):
                    m.next = "SHIFT"
            with m.State("SHIFT"), m.If(done):
                m.d.sync += index.eq(index + 1)
                m.next = "DATA"
                with m.If(~programming):
                    m.d.sync += word.eq(Cat(word[8:], taken))
                with m.If(index.all()):
                    m.d.sync += [full.eq(reading), words.eq(words - 1)]
                    with m.If(words == 1):
                        m.next = "END"
                with m.If(operation == FlashOperation.STATUS):
                    m.d.sync += full.eq(1)
                    m.next = "END"
            with m.State("END"):
                m.d.sync += [select.eq(0), index.eq(0)]
                m.next = "REST"
            with m.State("REST"):
                m.d.sync += index.eq(index + 1)
                with m.If(index.all()):
                    m.next = "IDLE"
        return m

    def _shifter(self, m, begin, byte):
        """Shifts ``byte`` out; in the cycle of ``done`` there is what came in."""
        pins = self.pins
        shifting, high = Signal(), Signal()
        out, left = Signal(8), Signal(3)
        taken, done = Signal(8), Signal()
        sample, before = Signal(), Signal(7)
        m.d.comb += [
            pins.sck.eq(high),
            pins.copi.eq(out[7]),
            taken.eq(Cat(pins.cipo, before)),
        ]
        m.d.sync += [sample.eq(high), done.eq(high & (left == 0)), high.eq(shifting & ~high)]
        with m.If(high):
            m.d.sync += [out.eq(out << 1), left.eq(left - 1), shifting.eq(left != 0)]
        with m.If(sample):
            m.d.sync += before.eq(taken)
        with m.If(begin):
            m.d.sync += [out.eq(byte), shifting.eq(1), left.eq(7)]
        return done, taken
