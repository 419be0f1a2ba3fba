"""A register that takes one of several values, without a multiplexer."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Module, Signal, Value, ValueLike

__all__ = ["register_one_of"]


def register_one_of(
    m: Module, name: str, enable: ValueLike, choices: Iterable[tuple[ValueLike, ValueLike]]
) -> Value:
    """Keep, from each cycle of ``enable`` on, the value whose gate was high, or zero.

    Each value has a register of its own, which the synchronous reset of its flip-flops clears
    when it is not chosen: what is left for LUTs is an OR of the registers, a third of what
    multiplexers take. Nothing is lost but flip-flops, of which there are plenty.

    Parameters
    ----------
    m
        Where the registers are.
    name
        Of the registers.
    enable
        When they change.
    choices
        Gate and value of each; gates are exclusive. Values may be of different widths.
    """
    registers = []
    for index, (gate, value) in enumerate(choices):
        register = Signal(len(Value.cast(value)), name=f"{name}_{index}")
        # Reset before enable: the flip-flops cannot do it the other way round.
        with m.If(enable):
            m.d.sync += register.eq(value)
        with m.If(enable & ~Value.cast(gate)):
            m.d.sync += register.eq(0)
        registers.append(register)
    return reduce(or_, registers)
