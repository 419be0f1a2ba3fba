"""Configuration space: registers in RAM, and what the hardware needs to know of them."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Function
from niter.stream import Ram

from .image import REGISTERS, Image, Register, kinds
from .layouts import FunctionStates, TlpError
from .windows import RegisterWritten

__all__ = ["ConfigurationAccess", "ConfigurationSpace"]

_STATUS_CLEARABLE = 0b1111_1001 << 24
_DEVICE_STATUS_CLEARABLE = 0b1111 << 16

#: Max_Payload_Size, which a function level reset leaves alone, as it does link control (6.6.2).
_PAYLOAD_SIZE = 0xE0


class ConfigurationAccess(data.Struct):
    """A read, or a write of the bytes in ``enables``."""

    function: 3
    register: 6
    write: 1
    data: 32
    enables: 4


class _Operation(enum.Enum, shape=2):
    ACCESS = 0
    #: Set error bits: first of Status, then of Device Status.
    STATUS = 1
    DEVICE_STATUS = 2
    #: Put a doubleword back to its default.
    CLEAR = 3


class ConfigurationSpace(wiring.Component):
    """A small sequencer around one RAM (7.5): every change reads, modifies and writes a doubleword.

    Accesses come first, then errors, then functions to be put back to their defaults. Each
    takes 3 cycles for a doubleword: an access answers after 3, a function is clear
    after about 200. Defaults and write masks stand in a ROM, once for each different
    declaration.

    Errors follow 6.2.5 for a function without Advanced Error Reporting: an advisory error is
    logged as correctable and sends no message; a fatal or non-fatal one sends a message when
    Device Control or SERR# Enable allow it, an unsupported request's only with Unsupported
    Request Reporting Enable or SERR# Enable.

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
        Accesses to functions that exist.
    o_data : Out(32), o_done : Out(1)
        Strobe: the access is over, and what was read.
    i_error : In(stream of TlpError)
        Errors to be logged.
    pending : In(MAX_FUNCTIONS)
        Transactions Pending.
    clear, fundamental : In(MAX_FUNCTIONS)
        Functions that are to have their defaults; without ``fundamental`` but for those
        registers that survive a function level reset.
    cleared : Out(MAX_FUNCTIONS)
        Strobes: done.
    written : Out(RegisterWritten)
        Each new value.
    flr : Out(MAX_FUNCTIONS)
        Strobes: Initiate Function Level Reset was written.
    nonfatal, fatal : Out(1)
        Strobes: ``written.function`` is to send ERR_NONFATAL, ERR_FATAL. An error that names no
        function is reported once.
    states : Out(FunctionStates)
        As written by software; D3hot clears ``memory`` and ``master``.
    msix_enable, msix_mask : Out(MAX_FUNCTIONS)
        Message Control's bits.
    boundary : Out(1)
        Read completion boundary of function 0.
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
                "o_done": Out(1),
                "i_error": In(stream.Signature(TlpError)),
                "pending": In(MAX_FUNCTIONS),
                "clear": In(MAX_FUNCTIONS),
                "fundamental": In(MAX_FUNCTIONS),
                "cleared": Out(MAX_FUNCTIONS),
                "written": Out(RegisterWritten),
                "flr": Out(MAX_FUNCTIONS),
                "nonfatal": Out(1),
                "fatal": Out(1),
                "states": Out(FunctionStates),
                "msix_enable": Out(MAX_FUNCTIONS),
                "msix_mask": Out(MAX_FUNCTIONS),
                "boundary": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.registers = registers = Ram(
            shape=32,
            depth=REGISTERS * max(2, 1 << (len(self._functions) - 1).bit_length()),
            init=[],
        )
        contents = [
            word
            for image in self._kind_images
            for pair in zip(image.defaults, image.masks, strict=True)
            for word in pair
        ]
        m.submodules.constants = constants = memory.Memory(
            shape=32, depth=len(contents), init=contents, attrs={"rom_style": "block"}
        )
        read, write = registers.read_port(), registers.write_port()
        constant = constants.read_port()

        operation = Signal(_Operation)
        access = Signal(ConfigurationAccess)
        clearing = Signal(range(REGISTERS))
        to_clear, error_function = Signal(3), Signal(3)
        chosen = Signal(_Operation)
        function, register = Signal(3), Signal(6)
        error_half, reported = Signal(), Signal()
        with m.If(self.i.valid):
            m.d.comb += chosen.eq(_Operation.ACCESS)
        with m.Elif(self.i_error.valid):
            m.d.comb += chosen.eq(Mux(error_half, _Operation.DEVICE_STATUS, _Operation.STATUS))
        with m.Else():
            m.d.comb += chosen.eq(_Operation.CLEAR)
        for number in reversed(range(len(self._functions))):
            with m.If(self.clear[number]):
                m.d.comb += to_clear.eq(number)
        with m.Switch(chosen):
            with m.Case(_Operation.ACCESS):
                m.d.comb += [
                    function.eq(self.i.payload.function),
                    register.eq(self.i.payload.register),
                ]
            with m.Case(_Operation.CLEAR):
                m.d.comb += [function.eq(to_clear), register.eq(clearing)]
            with m.Default():
                m.d.comb += [
                    function.eq(
                        Mux(self.i_error.payload.all, error_function, self.i_error.payload.function)
                    ),
                    register.eq(Mux(error_half, Register.DEVICE_CONTROL, Register.COMMAND)),
                ]
        m.d.comb += [
            read.addr.eq(Cat(register, function)),
            constant.addr.eq(
                Cat(chosen != _Operation.CLEAR, register, Array(self._kinds)[function])
            ),
            write.addr.eq(Cat(self.written.register, self.written.function)),
            write.data.eq(self.written.data),
            write.en.eq(self.written.strobe),
        ]
        last_function = len(self._functions) - 1
        with m.FSM():
            with m.State("CHOOSE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    operation.eq(chosen),
                    access.eq(self.i.payload),
                    self.written.function.eq(function),
                    self.written.register.eq(register),
                ]
                with m.If(
                    self.i.valid | self.i_error.valid | self.clear[: len(self._functions)].any()
                ):
                    m.next = "MODIFY"
            with m.State("MODIFY"):
                value = self._modify(m, operation, access, read.data, constant.data, reported)
                is_write = (operation != _Operation.ACCESS) | access.write
                m.d.sync += [self.written.data.eq(value), self.written.strobe.eq(is_write)]
                live = (self.written.register == Register.DEVICE_CONTROL) & self.pending.bit_select(
                    self.written.function, 1
                )
                m.d.sync += [
                    self.o_data.eq(read.data | live << 21),
                    self.o_done.eq(operation == _Operation.ACCESS),
                ]
                m.next = "WRITE"
            with m.State("WRITE"):
                m.d.sync += [self.written.strobe.eq(0), self.o_done.eq(0)]
                with m.Switch(operation):
                    with m.Case(_Operation.CLEAR):
                        m.d.sync += clearing.eq(clearing + 1)
                        m.d.comb += self.cleared.eq(
                            (clearing == REGISTERS - 1) << self.written.function
                        )
                    with m.Case(_Operation.STATUS):
                        m.d.sync += error_half.eq(1)
                    with m.Case(_Operation.DEVICE_STATUS):
                        m.d.sync += error_half.eq(0)
                        with m.If(self.i_error.payload.all & (error_function != last_function)):
                            m.d.sync += error_function.eq(error_function + 1)
                        with m.Else():
                            m.d.sync += [error_function.eq(0), reported.eq(0)]
                            m.d.comb += self.i_error.ready.eq(1)
                m.next = "CHOOSE"
        self._follow(m, access)
        return m

    def _modify(self, m, operation, access, old, constant, reported) -> Value:
        """The doubleword's new value, in the state in which it has been read."""
        register, function = self.written.register, self.written.function
        enabled = Cat(bit.replicate(8) for bit in access.enables)
        # Bits that are taken from ``source``; a mask is zero where ones clear a bit.
        replaced, errors = Signal(32), Signal(16)
        is_access = operation == _Operation.ACCESS
        source = Mux(is_access, constant & access.data, constant)
        with m.If(is_access):
            clearable = Signal(32)
            with m.If(register == Register.COMMAND):
                m.d.comb += clearable.eq(_STATUS_CLEARABLE)
            with m.If(register == Register.DEVICE_CONTROL):
                m.d.comb += clearable.eq(_DEVICE_STATUS_CLEARABLE)
            m.d.comb += replaced.eq((constant | (clearable & access.data)) & enabled)
            with m.If((register == Register.POWER) & (access.data[0] ^ access.data[1])):
                # D1 and D2 do not exist: the write is ignored (5.3.1).
                m.d.comb += replaced[:2].eq(0)
        with m.Elif(operation == _Operation.CLEAR):
            m.d.comb += replaced.eq(~0)
            with m.If(~self.fundamental.bit_select(function, 1)):
                with m.If(register == Register.DEVICE_CONTROL):
                    m.d.comb += replaced.eq(~_PAYLOAD_SIZE)
                with m.If(register == Register.LINK_CONTROL):
                    m.d.comb += replaced.eq(0)

        error = self.i_error.payload
        refused = error.unsupported_request | error.completer_abort
        nonfatal, system_error = Signal(), Signal()
        m.d.comb += nonfatal.eq(
            ((refused | error.poisoned) & ~error.advisory) | error.completion_timeout
        )
        with m.If(operation == _Operation.STATUS):
            parity_response, serr = old[6], old[8]
            m.d.comb += [
                errors[8].eq(error.poisoned & error.data_parity & parity_response),
                errors[11].eq(error.completer_abort),
                errors[12].eq(error.received_target_abort),
                errors[13].eq(error.received_master_abort),
                errors[14].eq(serr & (nonfatal | error.malformed)),
                errors[15].eq(error.poisoned),
            ]
            m.d.sync += system_error.eq(serr)
        with m.If(operation == _Operation.DEVICE_STATUS):
            m.d.comb += [
                errors[0].eq((refused & error.advisory) | error.unexpected_completion),
                errors[1].eq(nonfatal),
                errors[2].eq(error.malformed),
                errors[3].eq(error.unsupported_request),
            ]
            enabled_nonfatal = old[1] & (old[3] | ~error.unsupported_request)
            m.d.comb += [
                self.nonfatal.eq(nonfatal & (enabled_nonfatal | system_error) & ~reported),
                self.fatal.eq(error.malformed & (old[2] | system_error) & ~reported),
            ]
            with m.If(self.nonfatal | self.fatal):
                m.d.sync += reported.eq(1)
        return (old & ~replaced) | (source & replaced) | (errors << 16)

    def _follow(self, m, access) -> None:
        """Keep flip-flops of what the hardware needs at all times."""
        written = self.written
        for number in range(len(self._functions)):
            state = self.states[number]
            memory_space, master, hot = (
                Signal(name=f"{name}_{number}") for name in ("memory", "master", "hot")
            )
            m.d.comb += [
                state.memory.eq(memory_space & ~hot),
                state.master.eq(master & ~hot),
            ]
            mine = written.strobe & (written.function == number)
            value = written.data
            with m.If(mine), m.Switch(written.register):
                with m.Case(Register.COMMAND):
                    m.d.sync += [memory_space.eq(value[1]), master.eq(value[2])]
                with m.Case(Register.POWER):
                    m.d.sync += hot.eq(value[:2].any())
                with m.Case(Register.DEVICE_CONTROL):
                    m.d.sync += [
                        state.relaxed.eq(value[4]),
                        state.payload.eq(value[5:8]),
                        state.no_snoop.eq(value[11]),
                        state.request.eq(value[12:15]),
                    ]
                with m.Case(Register.DEVICE_CONTROL_2):
                    m.d.sync += state.no_timeout.eq(value[4])
                with m.Case(Register.MSIX):
                    m.d.sync += [
                        self.msix_enable[number].eq(value[31]),
                        self.msix_mask[number].eq(value[30]),
                    ]
                if number == 0:
                    with m.Case(Register.LINK_CONTROL):
                        m.d.sync += self.boundary.eq(value[3])
        m.d.comb += self.flr.eq(
            (
                self.o_done
                & access.write
                & access.enables[1]
                & access.data[15]
                & (written.register == Register.DEVICE_CONTROL)
            )
            << written.function
        )
