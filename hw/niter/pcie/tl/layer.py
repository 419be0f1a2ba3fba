"""The transaction layer of one link, assembled."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS, Function, FunctionPort, HostRead, HostWrite

from .completer import Completer
from .layouts import LinkPort
from .read import ReadDma
from .statistics import TransactionStatistics
from .transmit import TransmitArbiter
from .write import WriteDma

__all__ = ["TransactionLayer"]


class TransactionLayer(wiring.Component):
    """All of PCIe above the data link layer: configuration space, registers, DMA, interrupts.

    Read port *n* and write port *n* are a pair: a read command does not overtake a write that
    its pair had accepted before.

    A function level reset leaves nothing behind. While ``reset[f]`` is high, commands of ``f``
    are answered with an error or consumed, and the reset ends only when the engine has
    acknowledged it and no read of ``f`` is outstanding and no write of it is queued.

    Parameters
    ----------
    functions
        The declarations, in the order of function numbers: 1 to 8.
    engines
        For each function the index of the ``FunctionPort`` that it belongs to.
    read_ports
        Number of host read ports, 1 to 4, or a share of the read buffer for each: powers of
        two that add up to 4 or less.
    write_ports
        Number of host write ports, or a weight for each: commands per turn.
    generation
        What the link capabilities say: 1 is 2.5 GT/s, 2 is 5 GT/s.
    max_payload
        Largest payload that is supported, in bytes: 128 or 256.
    timeout
        Cycles after which an unanswered read fails; it fails within twice that. The default
        is 10 to 20 ms at 62.5 MHz, within the default range of 50 us to 50 ms (7.8.16).

    Members
    -------
    link : Out(LinkPort)
        The data link layer. While ``up`` is low everything queued is discarded and all
        functions are in reset.
    read : array of In(HostRead)
        Read ports of the engines.
    write : array of In(HostWrite)
        Write ports of the engines.
    engine : array of Out(FunctionPort)
        Register requests and resets, one port for each engine.
    released : In(MAX_FUNCTIONS)
        Firmware has released the function; until then configuration requests are answered
        with Configuration Request Retry Status.
    csr : In(csr.Signature)
        Counters and errors; see ``TransactionStatistics``.
    """

    def __init__(
        self,
        *,
        functions: Sequence[Function],
        engines: Sequence[int],
        read_ports: int | Sequence[int],
        write_ports: int | Sequence[int],
        generation: int = 1,
        max_payload: int = 256,
        timeout: int = 625_000,
    ):
        self._generation = generation
        self._max_payload = max_payload
        self._functions = tuple(functions)
        self._engines = tuple(engines)
        self._shares = [1] * read_ports if isinstance(read_ports, int) else list(read_ports)
        self._weights = [1] * write_ports if isinstance(write_ports, int) else list(write_ports)
        self._timeout = timeout
        self._statistics = TransactionStatistics()
        super().__init__(
            {
                "link": Out(LinkPort),
                "read": In(HostRead).array(len(self._shares)),
                "write": In(HostWrite).array(len(self._weights)),
                "engine": Out(FunctionPort).array(max(engines) + 1),
                "released": In(MAX_FUNCTIONS),
                "csr": In(csr.Signature(addr_width=self._statistics.csr.addr_width)),
            }
        )
        self.csr.memory_map = self._statistics.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.completer = completer = Completer(
            self._functions,
            self._engines,
            generation=self._generation,
            max_payload=self._max_payload,
        )
        m.submodules.reads = reads = ReadDma(
            shares=self._shares, timeout=self._timeout, functions=len(self._functions)
        )
        m.submodules.writes = writes = WriteDma(weights=self._weights)
        m.submodules.transmit = transmit = TransmitArbiter()

        for index, port in enumerate(self.read):
            connect(m, flipped(port), reads.read[index])
        for index, port in enumerate(self.write):
            connect(m, flipped(port), writes.write[index])
        connect(m, completer.i_interrupt, writes.interrupt)
        connect(m, reads.completions, completer.o_completions)
        connect(m, transmit.i_message, completer.o_posted)
        connect(m, transmit.i_completion, completer.o)
        connect(m, transmit.i_posted, writes.o)
        connect(m, transmit.i_nonposted, reads.o)
        connect(m, flipped(self.link.tx), transmit.o)
        connect(m, completer.i, flipped(self.link.rx))
        m.submodules.statistics = statistics = self._statistics
        connect(m, flipped(self.csr), statistics.csr)
        for watched, port in ((statistics.sent, self.link.tx), (statistics.received, self.link.rx)):
            m.d.comb += [
                watched.payload.eq(port.payload),
                watched.valid.eq(port.valid & port.ready),
            ]
        m.d.comb += [
            statistics.starved.eq(transmit.starved),
            statistics.errors.eq(completer.o_errors),
            statistics.refuse.eq(completer.refuse),
            statistics.refused.eq(completer.refused),
        ]

        # A reset ends when its engine says so and nothing of the function is left here.
        count = len(self._engines)
        asked = Signal(range(count))
        acknowledged = Signal(count)
        with m.If(acknowledged.any()):
            m.d.sync += asked.eq(Mux(asked == count - 1, 0, asked + 1))
        m.d.comb += writes.asked.eq(asked)
        settled = Signal(count)
        for function, engine in enumerate(self._engines):
            m.d.comb += acknowledged[function].eq(self.engine[engine].reset_done[function])
            clear = ~(writes.holds | reads.busy[function])
            with m.If(~acknowledged[function]):
                m.d.sync += settled[function].eq(0)
            with m.Elif(asked == function):
                m.d.sync += settled[function].eq(clear)
        m.d.comb += [
            completer.up.eq(self.link.up),
            completer.released.eq(self.released),
            completer.pending.eq(reads.busy),
            self.link.allocated.eq(completer.allocated),
            transmit.up.eq(self.link.up),
            transmit.limit.eq(self.link.limit),
            transmit.infinite.eq(self.link.infinite),
            transmit.order.eq(writes.order),
            reads.order.eq(writes.order),
        ]
        # A report may come late, and the verdict on a completion is a long way.
        m.d.sync += completer.i_error.eq(reads.error)
        for half in (reads, writes):
            m.d.comb += [half.states.eq(completer.states), half.link.eq(completer.link)]
        for inner, outer in zip(completer.engine, self.engine, strict=True):
            connect(m, inner.request, flipped(outer.request))
            connect(m, inner.reply, flipped(outer.reply))
            m.d.comb += [
                outer.reset.eq(inner.reset),
                inner.reset_done.eq(outer.reset_done & settled),
            ]
        return m
