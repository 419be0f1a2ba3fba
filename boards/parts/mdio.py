"""Management of a PHY: registers over MDIO, and the state of its link (IEEE 802.3, clause 22)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

__all__ = ["Mdio"]

_PREAMBLE, _FRAME = 32, 32
_START, _WRITE_OP, _READ_OP, _TURN = 0b01, 0b01, 0b10, 0b10
#: Bits from the turnaround on.
_DATA_AND_TURN = 18
#: Basic status, and its bit for the link, which stays low until it was read (22.2.4.2).
_STATUS, _LINK = 1, 2


class Mdio(wiring.Component):
    """Reads and writes one PHY's registers, and asks it for its link whenever it has nothing to do.

    A frame takes 64 periods of MDC. ``busy`` in ``answer`` is high from a write to ``command``
    until its frame is over; a command given in between is ignored.

    Parameters
    ----------
    divisor
        Cycles of half a period of MDC, from 4 up: MDC is to be 2.5 MHz at most.
    address
        Of the PHY whose link is asked for.

    Members
    -------
    mdc : Out(1), mdio_o : Out(1), mdio_oe : Out(1), mdio_i : In(1)
        The pins; ``mdio_i`` may be asynchronous.
    link : Out(1)
        The link was up at the last look, and had not gone down since the one before.
    csr : In(csr.Signature)
        ``command`` and ``answer``.
    """

    class Command(csr.Register, access="w"):
        """Sends a frame."""

        data: csr.Field(csr.action.W, 16, doc="What is written.")
        register: csr.Field(csr.action.W, 5, doc="Register of the PHY.")
        address: csr.Field(csr.action.W, 5, doc="Of the PHY.")
        write: csr.Field(csr.action.W, 1, doc="Write, or else read.")

    class Answer(csr.Register, access="r"):
        """What the last frame brought."""

        data: csr.Field(csr.action.R, 16, doc="What was read.")
        busy: csr.Field(csr.action.R, 1, doc="The command is not done yet.")
        link: csr.Field(csr.action.R, 1, doc="The link is up.")

    def __init__(self, *, divisor: int, address: int = 0):
        if divisor < 4:
            raise ValueError(f"Half a period takes 4 cycles at least, not {divisor}")
        self.divisor = divisor
        self.address = address
        self._command, self._answer = self.Command(), self.Answer()
        builder = csr.Builder(addr_width=1)
        builder.add("command", self._command)
        builder.add("answer", self._answer)
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__(
            {
                "mdc": Out(1),
                "mdio_o": Out(1),
                "mdio_oe": Out(1),
                "mdio_i": In(1),
                "link": Out(1),
                "csr": In(csr.Signature(addr_width=1)),
            }
        )
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        incoming = Signal()
        m.submodules.mdio_sync = cdc.FFSynchronizer(self.mdio_i, incoming)

        fields = self._command.f
        asked, ours, polled, write = Signal(), Signal(), Signal(), Signal()
        request, poll = Signal(_FRAME), _frame(0, _STATUS, self.address, _READ_OP)
        answer = Signal(16)
        m.d.comb += [
            self._answer.f.data.r_data.eq(answer),
            self._answer.f.busy.r_data.eq(asked | ours),
            self._answer.f.link.r_data.eq(self.link),
        ]
        with m.If(fields.write.w_stb & ~asked & ~ours):
            m.d.sync += [
                asked.eq(1),
                write.eq(fields.write.w_data),
                request.eq(
                    _frame(
                        fields.data.w_data,
                        fields.register.w_data,
                        fields.address.w_data,
                        Mux(fields.write.w_data, _WRITE_OP, _READ_OP),
                    )
                ),
            ]

        timer = Signal(range(self.divisor))
        tick = Signal()
        m.d.comb += tick.eq(timer == 0)
        m.d.sync += timer.eq(timer - 1)
        with m.If(tick):
            m.d.sync += [timer.eq(self.divisor - 1), self.mdc.eq(~self.mdc)]

        # We change the line with the falling edge of MDC; both sides look at it with the rising.
        count = Signal(range(_PREAMBLE + _FRAME + 1))
        sampled, frame, whole = Signal(), Signal(_FRAME), Signal(16)
        m.d.comb += whole.eq(Cat(sampled, frame))
        with m.If(tick & ~self.mdc):
            m.d.sync += sampled.eq(incoming)
        with m.If(tick & self.mdc):
            m.d.sync += [count.eq(count - 1), frame.eq(Cat(sampled, frame))]
            with m.If(count == 0):
                m.d.sync += [
                    count.eq(_PREAMBLE + _FRAME),
                    frame.eq(Mux(asked, request, poll)),
                    ours.eq(asked),
                    asked.eq(0),
                    self.mdio_o.eq(1),
                    self.mdio_oe.eq(1),
                ]
                with m.If(ours):
                    m.d.sync += answer.eq(whole)
                with m.Elif(polled):
                    m.d.sync += self.link.eq(whole[_LINK])
                m.d.sync += polled.eq(~asked)
            with m.Elif(count > _FRAME):
                m.d.sync += frame.eq(frame)
            with m.Else():
                m.d.sync += self.mdio_o.eq(frame[-1])
                # A read gives the line away for the turnaround and what follows.
                with m.If((count == _DATA_AND_TURN) & ~(ours & write)):
                    m.d.sync += self.mdio_oe.eq(0)
        return m


def _frame(data, register, address, operation):
    """A frame, to be sent from its last bit on."""
    parts = ((data, 16), (_TURN, 2), (register, 5), (address, 5), (operation, 2), (_START, 2))
    return Cat(
        Value.cast(part)[:width] if isinstance(part, Value) else Const(part, width)
        for part, width in parts
    )
