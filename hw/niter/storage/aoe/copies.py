"""Which copies of a slot's frame the network may still deliver.

Each transmission has a generation of its own, one more than the slot's last. So an answer names a
copy, and its age tells whether that is one of the slot's present frame. Of the last eight copies it
is known whether they were answered; of older ones only that some were not.
"""

from typing import Any

from amaranth import Cat, Module, Signal, Value

__all__ = ["answered", "begun", "counted", "is_fresh", "may_linger", "restarted", "sent"]


def begun(kind: Any, copies: Any) -> list:
    """The slot gets a new frame: nothing of it was sent."""
    return [*restarted(kind, copies), kind.lost.eq(0)]


def restarted(kind: Any, copies: Any) -> list:
    """Answers to what was sent so far no longer count."""
    return [kind.copies.eq(0), copies.outstanding.eq(0)]


def sent(kind: Any, copies: Any) -> list:
    """A copy is sent; its generation is the next one."""
    return [
        copies.outstanding.eq(Cat(1, copies.outstanding)),
        kind.lost.eq(kind.lost | copies.outstanding[-1]),
        kind.copies.eq(kind.copies + ~kind.copies.all()),
    ]


def counted(copies: Any, sent: Value, asked: Value, generation: Value) -> Value:
    """The generation of the last copy, one having been ``sent`` since its words were read; or, when
    ``asked``, how many copies were sent after the one of that generation. One adder does both."""
    taken = ~generation & asked.replicate(len(generation))
    return (Cat(1, copies.generation) + Cat(sent | asked, taken))[1 : len(generation) + 1]


def is_fresh(kind: Any, age: Value) -> Value:
    """The copy of that age is one of the slot's present frame."""
    copies = kind.copies
    return ~age[len(copies) :].any() & (age[: len(copies)] < copies)


def answered(m: Module, copies: Any, age: Value) -> Any:
    """The copy of that age, a fresh one, was answered."""
    left = Signal.like(copies.outstanding)
    m.d.comb += left.eq(copies.outstanding & ~(1 << age[:4])[: len(left)])
    return copies.outstanding.eq(left)


def may_linger(kind: Any, copies: Any) -> Value:
    """A copy has not been answered."""
    return copies.outstanding.any() | kind.lost
