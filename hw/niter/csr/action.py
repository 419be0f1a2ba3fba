"""What a field of a register does when software reads or writes it."""

from typing import Any, ClassVar

from amaranth import Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RW", "RW1C", "RW1S", "WO", "Action", "R", "Reserved", "W"]


class Action(wiring.Component):
    """Behaviour of one field.

    Every action has the four signals of the register's side, in raw bits: ``bits_read``,
    ``bits_written`` and the strobes ``read`` and ``written``. Its other ports are for the
    component that owns the register.

    Parameters
    ----------
    shape
        Shape of the field's value.
    members
        The ports for the owner.
    """

    #: How software sees the field: "r", "w" or "rw"; empty when it cannot.
    access: ClassVar[str] = ""
    #: What the SVD calls the effect of a write, when it is more than storing.
    modified_write: ClassVar[str | None] = None

    def __init__(self, shape: Any, members: dict):
        self.shape = shape
        self.width = Shape.cast(shape).width
        super().__init__(
            {
                "bits_read": Out(self.width),
                "bits_written": In(self.width),
                "read": In(1),
                "written": In(1),
                **members,
            }
        )


class R(Action):
    """Read only: software reads what the gateware shows.

    Members
    -------
    r_data : In(shape)
        What is read.
    r_stb : Out(1)
        Software reads it in this cycle.
    """

    access = "r"

    def __init__(self, shape: Any):
        super().__init__(shape, {"r_data": In(shape), "r_stb": Out(1)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += [self.bits_read.eq(self.r_data), self.r_stb.eq(self.read)]
        return m


class W(Action):
    """Write only: nothing is stored, the gateware takes what is written.

    Members
    -------
    w_data : Out(shape)
        What is written.
    w_stb : Out(1)
        Software writes it in this cycle.
    """

    access = "w"

    def __init__(self, shape: Any):
        super().__init__(shape, {"w_data": Out(shape), "w_stb": Out(1)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += [
            Value.cast(self.w_data).eq(self.bits_written),
            self.w_stb.eq(self.written),
        ]
        return m


class RW(Action):
    """Read and write: software owns the value.

    Parameters
    ----------
    init
        Value after reset.

    Members
    -------
    data : Out(shape)
        The value.
    """

    access = "rw"

    def __init__(self, shape: Any, init: Any = None):
        self.init = init
        super().__init__(shape, {"data": Out(shape, init=init)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.d.comb += self.bits_read.eq(self.data)
        with m.If(self.written):
            m.d.sync += Value.cast(self.data).eq(self.bits_written)
        return m


class WO(RW):
    """Write only, and kept: software owns the value and does not need to be told.

    It costs no multiplexer, as a field does that is read. Parameters and members are those of
    ``RW``.
    """

    access = "w"


class RW1C(Action):
    """Set by gateware, cleared by software writing ones. Setting wins.

    Parameters
    ----------
    init
        Value after reset.

    Members
    -------
    set : In(shape)
        Bits to set in this cycle.
    data : Out(shape)
        The value.
    """

    access = "rw"
    modified_write = "oneToClear"

    def __init__(self, shape: Any, init: Any = None):
        self.init = init
        super().__init__(shape, {"set": In(shape), "data": Out(shape, init=init)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        cleared = Signal(self.width)
        m.d.comb += [
            self.bits_read.eq(self.data),
            cleared.eq(self.bits_written & self.written.replicate(self.width)),
        ]
        m.d.sync += Value.cast(self.data).eq((self.data & ~cleared) | self.set)
        return m


class RW1S(Action):
    """Set by software writing ones, cleared by gateware. Setting wins.

    Parameters
    ----------
    init
        Value after reset.

    Members
    -------
    clear : In(shape)
        Bits to clear in this cycle.
    data : Out(shape)
        The value.
    """

    access = "rw"
    modified_write = "oneToSet"

    def __init__(self, shape: Any, init: Any = None):
        self.init = init
        super().__init__(shape, {"clear": In(shape), "data": Out(shape, init=init)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        written = Signal(self.width)
        m.d.comb += [
            self.bits_read.eq(self.data),
            written.eq(self.bits_written & self.written.replicate(self.width)),
        ]
        m.d.sync += Value.cast(self.data).eq((self.data & ~self.clear) | written)
        return m


class Reserved(Action):
    """Bits without a meaning: read as zero, writes are ignored."""

    def __init__(self, shape: Any):
        super().__init__(shape, {})

    def elaborate(self, platform):  # noqa: D102
        return Module()
