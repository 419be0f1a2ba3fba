"""Registers as classes, and the bridge that puts them on the bus."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .action import Action, Reserved
from .bus import DATA_WIDTH, Signature
from .memory import MemoryMap

__all__ = ["Bridge", "Builder", "Field", "FieldInfo", "Register"]


class Field:
    """Declares a field of a register.

    Parameters
    ----------
    action
        Class of the action: ``csr.action.RW`` and its like.
    shape
        Shape of the value; an enumeration's members appear in the generated documents.
    doc
        What the field means, for the register page.
    arguments
        Further arguments of the action, such as ``init``.
    """

    def __init__(self, action: type[Action], shape: Any = 1, *, doc: str = "", **arguments: Any):
        if not (isinstance(action, type) and issubclass(action, Action)):
            raise TypeError(f"Field action must be a subclass of Action, not {action!r}")
        self.action = action
        self.shape = shape
        self.doc = doc
        self.arguments = arguments

    def create(self) -> Action:
        """Make the action of one instance of the register."""
        return self.action(self.shape, **self.arguments)


class FieldInfo(NamedTuple):
    """A field as the documents show it: its name and bits, and its action."""

    name: str
    offset: int
    action: Action
    doc: str

    @property
    def width(self) -> int:
        """Bits that it takes."""
        return self.action.width

    @property
    def init(self) -> int:
        """Value after reset, in raw bits; zero for what has none."""
        data = getattr(self.action, "data", None)
        return 0 if data is None else getattr(data, "as_value", lambda: data)().init


class _Fields:
    """The actions of a register, by attribute."""

    def __init__(self, actions: dict[str, Action]):
        self.__dict__.update(actions)

    def __iter__(self) -> Iterator[tuple[str, Action]]:
        return iter(self.__dict__.items())


class Register(wiring.Component):
    """A word that software reads or writes; the class is its documentation.

    Fields are class annotations, from bit 0 upwards::

        class Control(csr.Register, access="rw"):
            \"\"\"Switches the receiver.\"\"\"

            enable: csr.Field(csr.action.RW, 1, doc="Take frames.")
            mtu: csr.Field(csr.action.RW, 14, init=1500, doc="Longest frame in bytes.")

    and are reached as ``register.f.enable.data``. A register whose fields depend on
    parameters is made with ``Register({"name": Field(…)}, access="rw", doc="…")``.

    Parameters
    ----------
    fields
        Fields by name, instead of annotations.
    access
        "r", "w" or "rw", instead of the class argument of the same name.
    doc
        What the register means, instead of the docstring.

    Raises
    ------
    TypeError
        No fields are given, or no access.
    ValueError
        The fields need more than 32 bits, or one does what the register's access forbids.
    """

    _access: str | None = None

    #: Software reads the register in this cycle.
    r_stb: In(1)
    #: What software reads.
    r_data: Out(DATA_WIDTH)
    #: Software writes the register in this cycle.
    w_stb: In(1)
    #: What software writes.
    w_data: In(DATA_WIDTH)

    def __init_subclass__(cls, *, access: str | None = None, **arguments: Any):
        super().__init_subclass__(**arguments)
        if access is not None:
            cls._access = access

    def __init__(
        self,
        fields: dict[str, Field] | None = None,
        *,
        access: str | None = None,
        doc: str | None = None,
    ):
        name = type(self).__name__
        if fields is None:
            annotations = inspect.get_annotations(type(self))
            fields = {key: f for key, f in annotations.items() if isinstance(f, Field)}
        if not fields:
            raise TypeError(f"Register {name} has no fields")
        self.access = access or self._access
        if self.access not in ("r", "w", "rw"):
            raise TypeError(f'Access of register {name} must be "r", "w" or "rw"')
        self.doc = inspect.cleandoc(doc if doc is not None else type(self).__doc__ or "")
        self.fields: list[FieldInfo] = []
        offset = 0
        for key, field in fields.items():
            action = field.create()
            if not set(action.access) <= set(self.access):
                raise ValueError(
                    f"Field {key!r} of register {name} has access {action.access!r}, "
                    f"the register only {self.access!r}"
                )
            self.fields.append(FieldInfo(key, offset, action, field.doc))
            offset += action.width
        if offset > DATA_WIDTH:
            raise ValueError(f"Register {name} has {offset} bits, at most {DATA_WIDTH} fit")
        self.f = _Fields({info.name: info.action for info in self.fields})
        super().__init__()

    @property
    def init(self) -> int:
        """Value of the whole register after reset."""
        return sum(info.init << info.offset for info in self.fields)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        for name, offset, action, _ in self.fields:
            m.submodules[name] = action
            if isinstance(action, Reserved):
                continue
            bits = slice(offset, offset + action.width)
            m.d.comb += [
                self.r_data[bits].eq(action.bits_read),
                action.bits_written.eq(self.w_data[bits]),
                action.read.eq(self.r_stb),
                action.written.eq(self.w_stb),
            ]
        return m


class Builder:
    """Collects registers into a memory map.

    Parameters
    ----------
    addr_width
        Width of the word address.
    """

    def __init__(self, *, addr_width: int):
        self._map = MemoryMap(addr_width=addr_width)

    def add(self, name: str, register: Register, *, addr: int | None = None) -> Register:
        """Put ``register`` at word ``addr``, or behind the last one added."""
        if not isinstance(register, Register):
            raise TypeError(f"Only registers can be added, not {register!r}")
        self._map.add_resource(register, name=name, addr=addr)
        return register

    def as_memory_map(self) -> MemoryMap:
        """Everything added so far."""
        return self._map


class Bridge(wiring.Component):
    """Puts the registers of a memory map on the bus, and contains them.

    The answer to a read is registered: one cycle from strobe to ``r_data``, as the bus
    demands. A word without a register reads as zero, and writes to it are ignored.

    Parameters
    ----------
    memory_map
        From ``Builder.as_memory_map``.

    Members
    -------
    bus : In(Signature)
        The registers' bus.
    """

    def __init__(self, memory_map: MemoryMap):
        super().__init__({"bus": In(Signature(addr_width=memory_map.addr_width))})
        self.bus.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        answer = Signal(DATA_WIDTH)
        with m.Switch(self.bus.addr):
            for register, (name,), addr, _ in self.bus.memory_map.resources():
                m.submodules[name] = register
                m.d.comb += register.w_data.eq(self.bus.w_data)
                with m.Case(addr):
                    m.d.comb += [
                        register.r_stb.eq(self.bus.r_stb),
                        register.w_stb.eq(self.bus.w_stb),
                    ]
                    if "r" in register.access:
                        m.d.comb += answer.eq(register.r_data)
        m.d.sync += self.bus.r_data.eq(answer & self.bus.r_stb.replicate(DATA_WIDTH))
        return m
