"""BAR decoding: which function's BAR does an address hit?"""

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Function

from .image import Register
from .requests import Target

__all__ = ["BarWindows", "RegisterWritten"]


class RegisterWritten(data.Struct):
    """A byte of configuration space has a new value (``strobe``)."""

    strobe: 1
    function: 3
    register: 8
    data: 8


class BarWindows(wiring.Component):
    """All BARs compared at once. Latency 1 step.

    Base addresses follow the writes to configuration space. Where windows overlap the lowest
    function, and its lowest BAR, is hit.

    Parameters
    ----------
    functions
        The declarations.

    Members
    -------
    address : In(64), step : In(1)
        Of a memory request; the result is taken where ``step`` is high, and then holds.
    enable : In(MAX_FUNCTIONS)
        The function decodes its BARs.
    written : In(RegisterWritten)
        Writes to configuration space.
    target : Out(Target)
        What ``address`` hit at the last step.

    Raises
    ------
    ValueError
        For a BAR below 4 KiB: a request could run past its end.
    """

    def __init__(self, functions: Sequence[Function]):
        self._functions = tuple(functions)
        for function in functions:
            for bar in function.bars:
                if bar.size < 4096:
                    raise ValueError(f"BAR {bar.index} has {bar.size} bytes, less than a page")
        super().__init__(
            {
                "address": In(64),
                "step": In(1),
                "enable": In(MAX_FUNCTIONS),
                "written": In(RegisterWritten),
                "target": Out(Target),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        hits = []
        for number, function in enumerate(self._functions):
            for bar in function.bars:
                width = bar.size.bit_length() - 1
                base = Signal(64 - width, name=f"base_{number}_{bar.index}")
                hit = Signal(name=f"hit_{number}_{bar.index}")
                mine = self.written.strobe & (self.written.function == number)
                with m.If(mine), m.Switch(self.written.register):
                    for byte in range(width // 8, 8):
                        with m.Case(Register.BAR + 4 * bar.index + byte):
                            # Of the lowest byte only some bits are there.
                            hidden = max(0, width - 8 * byte)
                            at = 8 * byte + hidden - width
                            bits = base[at : at + 8 - hidden]
                            m.d.sync += bits.eq(self.written.data[hidden:])
                with m.If(self.step):
                    m.d.sync += hit.eq(self.enable[number] & (self.address[width:] == base))
                hits.append((hit, number, bar.index // 2))
        for position, (hit, number, bar) in enumerate(hits):
            with m.If(hit) if position == 0 else m.Elif(hit):
                m.d.comb += [
                    self.target.hit.eq(1),
                    self.target.function.eq(number),
                    self.target.bar.eq(bar),
                ]
        return m
