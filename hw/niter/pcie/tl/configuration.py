"""Configuration space: registers in RAM, and the sequencer that accesses and changes them."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Function
from niter.stream import Ram

from .count import increment
from .image import SPACE_BYTES, Image, Register, kinds
from .layouts import TlpErrors
from .modify import Operation, RegisterModifier
from .windows import RegisterWritten

__all__ = ["ConfigurationAccess", "ConfigurationSpace"]

#: What a look at the errors of a function reads and changes, in this order: what enables
#: their report comes before what reports them.
_LOG = (
    Register.COMMAND,
    Register.COMMAND + 1,
    Register.STATUS + 1,
    Register.DEVICE_CONTROL,
    Register.DEVICE_STATUS,
)


class ConfigurationAccess(data.Struct):
    """A read, or a write of the bytes in ``enables``, of a doubleword."""

    function: 3
    register: 6
    write: 1
    data: 32
    enables: 4


class ConfigurationSpace(wiring.Component):
    """A small sequencer around one RAM (7.5): every change reads, modifies and writes a byte.

    Accesses come first, then errors, then functions to be put back to their defaults. A byte
    takes 3 cycles: an access answers after 14, errors are logged after 16, a function is clear
    after about 800. Defaults and write masks stand in the same memory, once for each different
    declaration.

    Parameters
    ----------
    functions
        The declarations.
    generation, max_payload
        As for ``Image``.

    Attributes
    ----------
    images : list of Image
        One for each function.

    Members
    -------
    i : In(stream of ConfigurationAccess)
        Accesses to functions that exist; accepted when they are over.
    o_data : Out(32)
        What was read, in the cycle in which ``i`` is accepted.
    i_errors : In(stream of {errors, function, report})
        Errors to be logged; without ``report`` no message is sent for them.
    pending : In(MAX_FUNCTIONS)
        Transactions Pending.
    clear, fundamental : In(MAX_FUNCTIONS)
        Functions that are to have their defaults; without ``fundamental`` but for those
        registers that survive a function level reset.
    cleared : Out(MAX_FUNCTIONS)
        Strobes: done.
    written : Out(RegisterWritten)
        Each new value of a byte.
    flr : Out(MAX_FUNCTIONS)
        Strobes: Initiate Function Level Reset was written.
    nonfatal, fatal : Out(1)
        Strobes: ``i_errors.function`` is to send ERR_NONFATAL, ERR_FATAL.
    """

    def __init__(
        self, functions: Sequence[Function], *, generation: int = 1, max_payload: int = 256
    ):
        self._functions = tuple(functions)
        different, self._kinds = kinds(functions)
        self._kind_images = [
            Image(
                kind,
                multifunction=len(functions) > 1,
                generation=generation,
                max_payload=max_payload,
            )
            for kind in different
        ]
        self.images = [self._kind_images[kind] for kind in self._kinds]
        super().__init__(
            {
                "i": In(stream.Signature(ConfigurationAccess)),
                "o_data": Out(32),
                "i_errors": In(
                    stream.Signature(
                        data.StructLayout({"errors": TlpErrors, "function": 3, "report": 1})
                    )
                ),
                "pending": In(MAX_FUNCTIONS),
                "clear": In(MAX_FUNCTIONS),
                "fundamental": In(MAX_FUNCTIONS),
                "cleared": Out(MAX_FUNCTIONS),
                "written": Out(RegisterWritten),
                "flr": Out(MAX_FUNCTIONS),
                "nonfatal": Out(1),
                "fatal": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        count = len(self._functions)
        # Constants are the upper half: for each kind masks, then defaults.
        kind_bits = (len(self._kind_images) - 1).bit_length()
        bits = max((count - 1).bit_length(), kind_bits + 1)
        contents = [0] * (SPACE_BYTES << bits)
        for image in self._kind_images:
            contents += [*image.masks, *image.defaults]
        depth = SPACE_BYTES << bits + 1
        m.submodules.storage = storage = Ram(shape=8, depth=depth, init=contents)
        read, write = storage.read_port(), storage.write_port()
        m.submodules.modifier = modifier = RegisterModifier()

        operation, function = Signal(Operation), Signal(3)
        at = Signal(range(SPACE_BYTES))
        step = Signal(range(SPACE_BYTES))
        access = self.i.payload
        last, done = Signal(), Signal()
        to_clear = Signal(3)
        for number in reversed(range(count)):
            with m.If(self.clear[number]):
                m.d.comb += to_clear.eq(number)
        log_at = Array(Const(register, at.shape()) for register in _LOG)
        with m.Switch(operation):
            with m.Case(Operation.ACCESS):
                m.d.comb += [at.eq(Cat(step[:2], access.register)), last.eq(step[:2] == 3)]
            with m.Case(Operation.LOG):
                m.d.comb += [at.eq(log_at[step[:3]]), last.eq(step[:3] == len(_LOG) - 1)]
            with m.Default():
                m.d.comb += [at.eq(step), last.eq(step == SPACE_BYTES - 1)]

        # Constant, register, write: the latter while the next byte's constant is read.
        constant = Signal(8)
        want_constant = Signal()
        kind, own = Signal(bits - 1), Signal(bits)
        m.d.comb += [
            kind.eq(Array(self._kinds)[function]),
            own.eq(function),
            read.addr.eq(
                Cat(
                    at,
                    Mux(want_constant, Cat(operation == Operation.CLEAR, kind), own),
                    want_constant,
                )
            ),
            write.addr.eq(Cat(self.written.register, self.written.function)),
            write.data.eq(self.written.data),
            write.en.eq(self.written.strobe),
            modifier.operation.eq(operation),
            modifier.constant.eq(constant),
            modifier.old.eq(read.data),
            modifier.errors.eq(self.i_errors.payload.errors),
            modifier.fundamental.eq(self.fundamental.bit_select(function, 1)),
        ]
        # They stand still from the first of the three cycles on: registers keep paths short.
        m.d.sync += [
            modifier.register.eq(at),
            modifier.data.eq(access.data.word_select(step[:2], 8)),
            modifier.enable.eq(
                (operation == Operation.ACCESS)
                & access.write
                & access.enables.bit_select(step[:2], 1)
            ),
        ]
        with m.If(modifier.step & (modifier.register == Register.DEVICE_CONTROL + 1)):
            # Initiate Function Level Reset; it reads as zero.
            m.d.comb += self.flr.eq((modifier.enable & modifier.data[7]) << function)
        live = (modifier.register == Register.DEVICE_STATUS) & self.pending.bit_select(function, 1)
        m.d.sync += self.written.strobe.eq(0)
        with m.FSM():
            with m.State("CHOOSE"):
                m.d.sync += step.eq(0)
                with m.If(self.i.valid & ~done):
                    m.d.sync += [operation.eq(Operation.ACCESS), function.eq(access.function)]
                    m.next = "CONSTANT"
                with m.Elif(self.i_errors.valid & ~done):
                    m.d.sync += [
                        operation.eq(Operation.LOG),
                        function.eq(self.i_errors.payload.function),
                    ]
                    m.next = "CONSTANT"
                with m.Elif(self.clear[:count].any() & ~done):
                    m.d.sync += [operation.eq(Operation.CLEAR), function.eq(to_clear)]
                    m.next = "CONSTANT"
            with m.State("CONSTANT"):
                m.d.comb += want_constant.eq(1)
                m.next = "REGISTER"
            with m.State("REGISTER"):
                m.d.sync += constant.eq(read.data)
                m.next = "MODIFY"
            with m.State("MODIFY"):
                m.d.comb += modifier.step.eq(1)
                m.d.sync += [
                    self.written.strobe.eq(1),
                    self.written.function.eq(function),
                    self.written.register.eq(modifier.register),
                    self.written.data.eq(modifier.new),
                    self.o_data.eq(Cat(self.o_data[8:], read.data | live << 5)),
                    step.eq(increment(step)),
                    done.eq(last),
                ]
                m.next = "CONSTANT"
                with m.If(last):
                    m.next = "CHOOSE"
        # Acknowledged one cycle later, when the last byte is being written.
        with m.If(done):
            m.d.sync += done.eq(0)
            with m.Switch(operation):
                with m.Case(Operation.ACCESS):
                    m.d.comb += self.i.ready.eq(1)
                with m.Case(Operation.LOG):
                    m.d.comb += [
                        self.i_errors.ready.eq(1),
                        self.nonfatal.eq(modifier.nonfatal & self.i_errors.payload.report),
                        self.fatal.eq(modifier.fatal & self.i_errors.payload.report),
                    ]
                with m.Default():
                    m.d.comb += self.cleared.eq(1 << function)
        return m
