"""Errors wait here, for each function, until configuration space has logged them."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Array, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import ErrorReport, TlpErrors

__all__ = ["ErrorLog"]


class ErrorLog(wiring.Component):
    """Remembers which kinds of errors each function has had since they were last logged.

    Nothing is lost, however fast errors come: a second error of a kind that waits means the
    same bits. Errors that name no function are logged in all of them and reported once, by the
    first that is looked at (6.2.4).

    Parameters
    ----------
    count
        Functions that exist.
    sources
        Where errors come from.

    Members
    -------
    i : array of In(ErrorReport)
        Errors; all may come in the same cycle.
    o : Out(stream of {errors, function, report})
        What is to be logged in a function; without ``report`` no message is to be sent.
    told : In(1)
        A message is sent for ``o``, with its transfer.
    """

    def __init__(self, count: int, sources: int):
        self._count = count
        super().__init__(
            {
                "i": In(ErrorReport).array(sources),
                "o": Out(
                    stream.Signature(
                        data.StructLayout({"errors": TlpErrors, "function": 3, "report": 1})
                    )
                ),
                "told": In(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        count = self._count
        waiting = [Signal(TlpErrors, name=f"waiting_{n}") for n in range(count)]
        #: What waits is, or may be, another function's as well; one of them has reported it.
        shared, reported = Signal(count), Signal()
        current, telling = Signal(), Signal()
        m.d.comb += telling.eq(self.told & self.o.ready & current)
        asks, chosen, take = Signal(count), Signal(range(count)), Signal()
        for number in reversed(range(count)):
            m.d.comb += asks[number].eq(waiting[number].as_value().any())
            with m.If(asks[number]):
                m.d.comb += chosen.eq(number)
        m.d.comb += take.eq(asks.any() & (~self.o.valid | self.o.ready))

        common = Signal(TlpErrors)
        m.d.comb += common.eq(self._merge(report.all for report in self.i))
        for number in range(count):
            own = self._merge(~report.all & (report.function == number) for report in self.i)
            mine = take & (chosen == number)
            m.d.sync += waiting[number].eq(
                (waiting[number].as_value() & ~mine.replicate(len(own))) | own | common.as_value()
            )
            with m.If(common.as_value().any()):
                m.d.sync += shared[number].eq(1)
            with m.Elif(mine):
                m.d.sync += shared[number].eq(0)

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.function.eq(chosen),
                self.o.payload.errors.eq(Array(waiting)[chosen]),
                self.o.payload.report.eq(~(shared.bit_select(chosen, 1) & (reported | telling))),
                current.eq(shared.bit_select(chosen, 1)),
            ]
        with m.If(common.as_value().any() | ~(shared.any() | self.o.valid)):
            m.d.sync += reported.eq(0)
        with m.Elif(telling):
            m.d.sync += reported.eq(1)
        return m

    def _merge(self, chosen: Iterable[Value]) -> Value:
        """The errors of those reports that are chosen."""
        return reduce(
            or_,
            (
                report.errors.as_value() & choice.replicate(len(report.errors.as_value()))
                for report, choice in zip(self.i, chosen, strict=True)
            ),
        )
