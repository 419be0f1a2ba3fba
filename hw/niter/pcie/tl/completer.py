"""The receiving and answering half of the transaction layer."""

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, Function, FunctionPort, PacketStream

from .configuration import ConfigurationSpace
from .count import increment
from .errors import ErrorLog
from .fetch import RequestFetcher
from .grants import GrantedCredits
from .layouts import (
    Credits,
    ErrorReport,
    FunctionStates,
    Interrupt,
    LinkState,
    Refused,
    TlpErrors,
)
from .msix import MsixTable
from .nonposted import NonpostedExecutor
from .notices import NoticeSender
from .posted import PostedExecutor
from .receiver import Receiver
from .requests import RequestQueues
from .resets import FunctionResets
from .routing import RegisterRouter
from .shadow import ConfigurationShadow
from .windows import BarWindows

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
    generation
        What the link capabilities say: 1 is 2.5 GT/s, 2 is 5 GT/s.
    max_payload
        Largest payload that is supported, in bytes: 128 or 256.

    Raises
    ------
    ValueError
        When a parameter is out of range, and for declarations that cannot be (see ``Image``,
        ``BarWindows``).

    Members
    -------
    up : In(1)
        The data link layer is up. While it is low all functions are in fundamental reset, and
        requests that had been received are executed without effect.
    i : In(PacketStream)
        Received TLPs (``LinkPort.rx``). It is stalled by ``o_completions`` alone. A TLP that
        the end of the link cuts off must end with ``error``.
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
    i_error : In(ErrorReport)
        Errors found by the requesting half.
    pending : In(MAX_FUNCTIONS)
        Function has requests outstanding (Transactions Pending).
    released : In(MAX_FUNCTIONS)
        Firmware has released the function; until then configuration requests are answered
        with Configuration Request Retry Status.
    states : Out(FunctionStates), link : Out(LinkState)
        What configuration space says.
    o_errors : Out(TlpErrors)
        All errors that are found, those of ``i_error`` included; strobes.
    refuse : Out(1), refused : Out(Refused)
        See ``Receiver``.
    engine : array of Out(FunctionPort)
        One for each engine.
    """

    def __init__(
        self,
        functions: Sequence[Function],
        engines: Sequence[int],
        *,
        generation: int = 1,
        max_payload: int = 256,
    ):
        if not 1 <= len(functions) <= MAX_FUNCTIONS:
            raise ValueError(f"A card has 1 to 8 functions, not {len(functions)}")
        if len(engines) != len(functions):
            raise ValueError("Each function needs the index of its engine")
        self._functions = tuple(functions)
        if generation not in (1, 2):
            raise ValueError(f"A link is of generation 1 or 2, not {generation!r}")
        if max_payload not in (128, 256):
            raise ValueError(f"The largest payload is 128 or 256 bytes, not {max_payload!r}")
        self._engines = tuple(engines)
        self._generation, self._max_payload = generation, max_payload
        super().__init__(
            {
                "up": In(1),
                "i": In(PacketStream),
                "allocated": Out(Credits),
                "o_completions": Out(PacketStream),
                "o": Out(PacketStream),
                "o_posted": Out(PacketStream),
                "i_interrupt": In(stream.Signature(Interrupt)),
                "i_error": In(ErrorReport),
                "pending": In(MAX_FUNCTIONS),
                "released": In(MAX_FUNCTIONS),
                "states": Out(FunctionStates),
                "link": Out(LinkState),
                "o_errors": Out(TlpErrors),
                "refuse": Out(1),
                "refused": Out(Refused),
                "engine": Out(FunctionPort).array(max(engines) + 1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.receiver = receiver = Receiver()
        m.submodules.windows = windows = BarWindows(self._functions)
        m.submodules.queues = queues = RequestQueues()
        m.submodules.posted = posted = PostedExecutor()
        m.submodules.configuration = configuration = ConfigurationSpace(
            self._functions, generation=self._generation, max_payload=self._max_payload
        )
        m.submodules.shadow = shadow = ConfigurationShadow(len(self._functions))
        m.submodules.fetcher = fetcher = RequestFetcher()
        m.submodules.nonposted = nonposted = NonpostedExecutor(configuration.images)
        m.submodules.router = router = RegisterRouter(self._functions, self._engines)
        m.submodules.msix = msix = MsixTable(self._functions)
        m.submodules.notices = notices = NoticeSender()
        m.submodules.resets = resets = FunctionResets(len(self._functions))

        # Received TLPs.
        connect(m, flipped(self.i), receiver.i)
        connect(m, receiver.o, flipped(self.o_completions))
        m.d.comb += [
            receiver.large_payload.eq(shadow.states[0].payload),
            windows.address.eq(receiver.address),
            windows.step.eq(receiver.step),
            windows.written.eq(configuration.written),
            shadow.written.eq(configuration.written),
            receiver.target.eq(windows.target),
            queues.i.eq(receiver.entry),
            queues.i_write.eq(receiver.entry_write),
            queues.i_nonposted.eq(receiver.entry_nonposted),
            queues.i_commit.eq(receiver.entry_commit),
            queues.i_discard.eq(receiver.entry_discard),
        ]
        self._execute(m, queues, posted, fetcher, nonposted)

        # Registers.
        connect(m, posted.request, router.i_posted)
        connect(m, nonposted.request, router.i_nonposted)
        connect(m, router.o_reply, nonposted.reply)
        connect(m, router.table, msix.i_access)
        connect(m, msix.o_reply, router.table_reply)
        for engine, request, reply in zip(self.engine, router.request, router.reply, strict=True):
            connect(m, request, flipped(engine.request))
            connect(m, flipped(engine.reply), reply)
        connect(m, nonposted.access, configuration.i)
        m.d.comb += [
            nonposted.access_data.eq(configuration.o_data),
            configuration.pending.eq(self.pending),
        ]

        # What leaves. While the link is down nobody else takes it.
        connect(m, flipped(self.i_interrupt), msix.i)
        connect(m, msix.o, notices.i)
        for inner, outer in ((nonposted.o, self.o), (notices.o, self.o_posted)):
            m.d.comb += [
                outer.payload.eq(inner.payload),
                outer.valid.eq(inner.valid & self.up),
                inner.ready.eq(outer.ready | ~self.up),
            ]
        m.d.comb += [
            notices.nonfatal.eq(configuration.nonfatal),
            notices.fatal.eq(configuration.fatal),
            notices.function.eq(configuration.i_errors.payload.function),
            notices.acknowledge.eq(posted.turn_off),
            notices.link.eq(self.link),
            notices.silent.eq(resets.active),
            notices.clear.eq(~self.up),
        ]
        self._reset(m, resets, configuration, shadow, msix, nonposted, windows)
        self._collect_errors(m, receiver, posted, nonposted, configuration)
        return m

    def _execute(self, m, queues, posted, fetcher, nonposted) -> None:
        """Share the queues' read port, and give back the credits of what has left them.

        A non-posted request is taken from its queue between two posted ones, in two cycles.
        """
        connect(m, fetcher.o, nonposted.i)
        second, turn = Signal(), Signal()
        executed = Signal(6)
        m.d.comb += [
            fetcher.grant.eq(fetcher.want & posted.idle & (~queues.posted | turn)),
            posted.hold.eq(fetcher.grant | second),
            posted.available.eq(queues.posted),
            fetcher.available.eq(queues.nonposted),
            queues.o_read.eq(posted.read | fetcher.read),
            queues.o_nonposted.eq(fetcher.read),
            posted.entry.eq(queues.o),
            fetcher.entry.eq(queues.o),
            nonposted.executed.eq(executed),
        ]
        m.d.sync += second.eq(fetcher.grant)
        with m.If(fetcher.grant):
            m.d.sync += turn.eq(0)
        with m.If(posted.done):
            m.d.sync += [turn.eq(1), executed.eq(increment(executed))]
        m.submodules.grants = grants = GrantedCredits()
        m.d.comb += [
            grants.up.eq(self.up),
            Cat(grants.posted, grants.nonposted).eq(Cat(posted.done, fetcher.done)),
            grants.posted_data.eq(posted.data_credits),
            grants.nonposted_data.eq(fetcher.data_credits),
            self.allocated.eq(grants.allocated),
        ]

    def _reset(self, m, resets, configuration, shadow, msix, nonposted, windows) -> None:
        """Join the resets, and make what a function may do depend on them."""
        engines_done = Cat(
            self.engine[engine].reset_done[number] for number, engine in enumerate(self._engines)
        )
        alive = Signal(MAX_FUNCTIONS)
        master, decode = Signal(MAX_FUNCTIONS), Signal(MAX_FUNCTIONS)
        # The way from a register to whoever waits for a read or an interrupt is long.
        told = Signal(MAX_FUNCTIONS)
        m.d.sync += [
            told.eq(master),
            msix.enable.eq(shadow.msix_enable & alive),
            msix.mask.eq(shadow.msix_mask | ~master),
        ]
        m.d.comb += [
            resets.up.eq(self.up),
            resets.flr.eq(configuration.flr),
            resets.reset_done.eq(engines_done),
            resets.registers_cleared.eq(configuration.cleared),
            resets.table_cleared.eq(msix.cleared),
            configuration.clear.eq(resets.clear_registers),
            configuration.fundamental.eq(resets.fundamental),
            msix.clear.eq(resets.clear_table),
            alive.eq(self.released & ~resets.active),
            nonposted.ready.eq(alive),
            windows.enable.eq(decode),
            self.states.eq(shadow.states),
            self.link.bus.eq(nonposted.link.bus),
            self.link.device.eq(nonposted.link.device),
            self.link.boundary.eq(shadow.boundary),
        ]
        for number, engine in enumerate(self._engines):
            state = shadow.states[number]
            m.d.comb += [
                master[number].eq(state.master & alive[number]),
                decode[number].eq(state.memory & alive[number]),
                self.states[number].master.eq(told[number]),
                self.states[number].memory.eq(decode[number]),
                self.engine[engine].reset[number].eq(resets.reset[number]),
            ]

    def _collect_errors(self, m, receiver, posted, nonposted, configuration) -> None:
        """All errors go to configuration space."""
        m.submodules.log = log = ErrorLog(len(self._functions), 4)
        received = log.i[0]
        m.d.comb += [
            received.all.eq(1),
            received.errors.malformed.eq(receiver.malformed),
            received.errors.unexpected_completion.eq(receiver.unexpected),
            log.told.eq(configuration.nonfatal | configuration.fatal),
        ]
        for index, source in enumerate((posted.error, nonposted.error, self.i_error), 1):
            m.d.comb += log.i[index].eq(source)
        connect(m, log.o, configuration.i_errors)
        m.d.comb += [
            self.o_errors.eq(reduce(or_, (report.errors.as_value() for report in log.i))),
            self.refuse.eq(receiver.refuse),
            self.refused.eq(receiver.refused),
        ]
