"""The receiving and answering half of the transaction layer."""

from collections.abc import Sequence

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, Function, FunctionPort, PacketStream

from .layouts import Credits, FunctionStates, Interrupt, LinkState, TlpError

__all__ = ["Completer"]


class Completer(wiring.Component):
    """Everything that happens to a received TLP, and configuration space.

    Received completions are passed on; requests are executed on configuration space, the
    MSI-X tables and the functions' registers, and answered.

    Parameters
    ----------
    functions
        The declarations, in the order of function numbers: 1 to 8.
    engines
        For each function the index of the ``FunctionPort`` that it belongs to.

    Members
    -------
    up : In(1)
        The data link layer is up. While it is low everything is reset: a fundamental
        reset of all functions.
    i : In(PacketStream)
        Received TLPs (``LinkPort.rx``). It is stalled by ``o_completions`` alone.
    allocated : Out(Credits)
        Credits granted so far; advances as requests are consumed.
    o_completions : Out(PacketStream)
        Received completions with known type and status, without digest. A completion that
        turns out malformed or nullified after its first beat ends with ``error``: nothing of
        it may be used.
    o : Out(PacketStream)
        Completions to be sent.
    o_posted : Out(PacketStream)
        Interrupts and messages to be sent, in the posted class.
    i_interrupt : In(stream of Interrupt)
        Interrupts of the functions. Those of a function without MSI-X enabled, without
        Bus Master Enable, or with a vector it does not have, are dropped.
    i_error : In(stream of TlpError)
        Errors found by the requesting half. Always accepted within a few hundred cycles.
    pending : In(MAX_FUNCTIONS)
        Function has requests outstanding (Transactions Pending).
    released : In(MAX_FUNCTIONS)
        Firmware has released the function; until then configuration requests are answered
        with Configuration Request Retry Status.
    states : Out(FunctionStates), link : Out(LinkState)
        What configuration space says.
    engine : array of Out(FunctionPort)
        One for each engine.
    """

    def __init__(self, functions: Sequence[Function], engines: Sequence[int]):
        if not 1 <= len(functions) <= MAX_FUNCTIONS:
            raise ValueError(f"A card has 1 to 8 functions, not {len(functions)}")
        if len(engines) != len(functions):
            raise ValueError("Each function needs the index of its engine")
        self._functions = tuple(functions)
        self._engines = tuple(engines)
        super().__init__(
            {
                "up": In(1),
                "i": In(PacketStream),
                "allocated": Out(Credits),
                "o_completions": Out(PacketStream),
                "o": Out(PacketStream),
                "o_posted": Out(PacketStream),
                "i_interrupt": In(stream.Signature(Interrupt)),
                "i_error": In(stream.Signature(TlpError)),
                "pending": In(MAX_FUNCTIONS),
                "released": In(MAX_FUNCTIONS),
                "states": Out(FunctionStates),
                "link": Out(LinkState),
                "engine": Out(FunctionPort).array(max(engines) + 1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        return Module()
