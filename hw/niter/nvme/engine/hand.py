"""The command in hand: registers that are loaded from its tag's state in RAM, and kept there."""

from typing import Any

from amaranth import C, Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .layouts import TAG_BITS, State

__all__ = ["Hand", "StateTable"]

#: Words of RAM that a tag has.
_WORDS = 8


class StateTable(wiring.Component):
    """The words of all tags' states.

    Parameters
    ----------
    tags
        How many there are.

    Members
    -------
    tag, step : In(TAG_BITS), In(3)
        Whose word is read, and written, and which one.
    word : Out(36)
        What stood there, a cycle later.
    store : In(1)
        Write ``value``.
    value : In(36)
        What is written.
    """

    tag: In(TAG_BITS)
    step: In(3)
    word: Out(36)
    store: In(1)
    value: In(36)

    def __init__(self, tags: int):
        self.tags = tags
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.words = words = Ram(shape=36, depth=_WORDS * self.tags, init=[])
        read, write = words.read_port(), words.write_port()
        m.d.comb += [
            read.addr.eq(Cat(self.step, self.tag)),
            self.word.eq(read.data),
            write.addr.eq(Cat(self.step, self.tag)),
            write.data.eq(self.value),
            write.en.eq(self.store),
        ]
        return m


class Hand:
    """Registers of the control machine, and how they get into the table and out of it.

    Parameters
    ----------
    m
        The machine's module.
    table
        The states of all tags.
    """

    def __init__(self, m: Module, table: StateTable):
        self._m, self._table = m, table
        self.tag, self.state = Signal(TAG_BITS), Signal(State)
        #: Blocks that no request has been made for.
        self.first, self.blocks = Signal(64), Signal(33)
        self.volume, self.large = Signal(4), Signal()
        #: Ranges, or namespaces of a Flush of all: the one whose turn it is, and the last one.
        self.number, self.final = Signal(8), Signal(8)
        #: The word that is read or written next.
        self.step = Signal(3)
        self._words = [
            Value.cast(self.state),
            self.first[:36],
            Cat(self.first[36:56], self.volume, self.large),
            self.blocks,
            Cat(self.number, self.final),
        ]
        #: The first word, as it was read.
        self.loaded = State(table.word)
        m.d.comb += [table.tag.eq(self.tag), table.step.eq(self.step)]

    def keep(self, state: Any) -> None:
        """In this cycle: write the first word."""
        self._m.d.comb += [
            self._table.step.eq(C(0, 3)),
            self._table.value.eq(state),
            self._table.store.eq(1),
        ]

    def save(self) -> Value:
        """In this cycle: write one word of all, from ``step`` 0; returns that it is the last."""
        self._m.d.comb += self._table.store.eq(1)
        self._m.d.sync += self.step.eq(self.step + 1)
        with self._m.Switch(self.step):
            for at, word in enumerate(self._words):
                with self._m.Case(at):
                    self._m.d.comb += self._table.value.eq(word)
        return self.step == len(self._words) - 1

    def restore(self) -> Value:
        """In this cycle: read one word of all, from ``step`` 0; returns that all have been."""
        self._m.d.sync += self.step.eq(self.step + 1)
        with self._m.Switch(self.step):
            for at, word in enumerate(self._words, 1):
                with self._m.Case(at):
                    self._m.d.sync += word.eq(self._table.word)
        return self.step == len(self._words)
