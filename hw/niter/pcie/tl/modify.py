"""How a byte of configuration space changes: by software, by errors, by a reset."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from .image import Register
from .layouts import TlpErrors

__all__ = ["Operation", "RegisterModifier"]

#: Bits of Status' high byte, and of Device Status, that are cleared by writing ones.
_STATUS_CLEARABLE, _DEVICE_STATUS_CLEARABLE = 0b1111_1001, 0b1111

#: Max_Payload_Size, which a function level reset leaves alone, as it does link control (6.6.2).
_PAYLOAD_SIZE = 0xE0


class Operation(enum.Enum, shape=2):
    """What is done to the registers of a function."""

    #: A doubleword is read, or written.
    ACCESS = 0
    #: Error bits are set, and the messages that they are worth become known.
    LOG = 1
    #: All bytes go back to their defaults.
    CLEAR = 2


class RegisterModifier(wiring.Component):
    """The new value of a byte; combinational, but for what a log remembers.

    Errors follow 6.2.5 for a function without Advanced Error Reporting: an advisory error is
    logged as correctable and sends no message; a fatal or non-fatal one sends a message when
    Device Control or SERR# Enable allow it, an unsupported request's only with Unsupported
    Request Reporting Enable or SERR# Enable. A log goes over Command, Status, Device Control
    and Device Status in this order; then ``nonfatal`` and ``fatal`` are right.
    """

    operation: In(Operation)
    #: The byte's place, its value, and with ``CLEAR`` its default, else which bits can be written.
    register: In(8)
    old: In(8)
    constant: In(8)
    #: What software writes, if it does.
    data: In(8)
    enable: In(1)
    #: What is to be logged.
    errors: In(TlpErrors)
    #: The reset is not merely function level.
    fundamental: In(1)
    #: ``old`` is that of ``register``.
    step: In(1)
    #: The new value.
    new: Out(8)
    #: The function is to send ERR_NONFATAL, ERR_FATAL.
    nonfatal: Out(1)
    fatal: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        register = self.register
        # Bits that are taken from ``source``; a mask is zero where ones clear a bit.
        source, replaced, logged = Signal(8), Signal(8), Signal(8)
        clearable = Signal(8)
        with m.Switch(register):
            with m.Case(Register.STATUS + 1):
                m.d.comb += clearable.eq(_STATUS_CLEARABLE)
            with m.Case(Register.DEVICE_STATUS):
                m.d.comb += clearable.eq(_DEVICE_STATUS_CLEARABLE)
        with m.Switch(self.operation):
            with m.Case(Operation.ACCESS):
                m.d.comb += source.eq(self.constant & self.data)
                with m.If(self.enable):
                    m.d.comb += replaced.eq(self.constant | (clearable & self.data))
                    with m.If((register == Register.POWER) & (self.data[0] ^ self.data[1])):
                        # D1 and D2 do not exist: the write is ignored (5.3.1).
                        m.d.comb += replaced.eq(0)
            with m.Case(Operation.CLEAR):
                m.d.comb += [source.eq(self.constant), replaced.eq(~0)]
                with m.If(~self.fundamental), m.Switch(register):
                    with m.Case(Register.DEVICE_CONTROL):
                        m.d.comb += replaced.eq(~_PAYLOAD_SIZE)
                    with m.Case(*(Register.LINK_CONTROL + n for n in range(4))):
                        m.d.comb += replaced.eq(0)
            with m.Default():
                m.d.comb += logged.eq(self._log(m))
        m.d.comb += self.new.eq((self.old & ~replaced) | (source & replaced) | logged)
        return m

    def _log(self, m) -> Signal:
        """Bits that the errors set in this byte."""
        errors, old = self.errors, self.old
        parity_response, system_error = Signal(), Signal()
        nonfatal, correctable = Signal(), Signal()
        m.d.comb += [
            nonfatal.eq(errors.unsupported_request | errors.poisoned | errors.completion_timeout),
            correctable.eq(
                errors.advisory_unsupported
                | errors.advisory_abort
                | errors.advisory_poisoned
                | errors.unexpected_completion
            ),
        ]
        logged = Signal(8)
        with m.Switch(self.register):
            with m.Case(Register.COMMAND), m.If(self.step):
                m.d.sync += parity_response.eq(old[6])
            with m.Case(Register.COMMAND + 1), m.If(self.step):
                m.d.sync += system_error.eq(old[0])
            with m.Case(Register.STATUS + 1):
                m.d.comb += [
                    logged[0].eq(errors.data_parity & parity_response),
                    logged[3].eq(errors.advisory_abort),
                    logged[4].eq(errors.received_target_abort),
                    logged[5].eq(errors.received_master_abort),
                    logged[6].eq(system_error & (nonfatal | errors.malformed)),
                    logged[7].eq(errors.poisoned | errors.advisory_poisoned),
                ]
            with m.Case(Register.DEVICE_CONTROL):
                told = (
                    errors.poisoned
                    | errors.completion_timeout
                    | (errors.unsupported_request & old[3])
                )
                with m.If(self.step):
                    m.d.sync += [
                        self.nonfatal.eq((nonfatal & system_error) | (told & old[1])),
                        self.fatal.eq(errors.malformed & (system_error | old[2])),
                    ]
            with m.Case(Register.DEVICE_STATUS):
                refused = errors.unsupported_request | errors.advisory_unsupported
                m.d.comb += logged.eq(Cat(correctable, nonfatal, errors.malformed, refused))
        return logged
