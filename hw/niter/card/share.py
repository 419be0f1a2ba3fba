"""Ports and functions of several engines, brought to those of the PCIe room and of the mailbox."""

from collections.abc import Sequence

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import (
    FunctionPort,
    HostRead,
    HostWrite,
    MailboxPort,
    ReadCommand,
    RegisterRequest,
    WriteKind,
)
from niter.stream import Arbiter, Fifo, HalfBuffer

__all__ = ["FunctionShift", "MailboxShift", "ReadShare", "WriteShare"]

#: Read commands of a port that may be unanswered; of their requests, seven may be.
_UNANSWERED = 8


class FunctionShift(wiring.Component):
    """An engine that counts its functions from 0, as functions ``first`` and up of the card.

    A request takes a cycle: a card of several engines is too wide to be crossed and asked at once.

    Parameters
    ----------
    first
        The card's number of the engine's function 0.

    Members
    -------
    i : In(FunctionPort)
        From the PCIe room.
    o : Out(FunctionPort)
        To the engine.
    """

    i: In(FunctionPort)
    o: Out(FunctionPort)

    def __init__(self, first: int):
        self.first = first
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.edge = edge = HalfBuffer(RegisterRequest)
        connect(m, flipped(self.i.request), edge.i)
        connect(m, edge.o, flipped(self.o.request))
        connect(m, flipped(self.o.reply), flipped(self.i.reply))
        m.d.comb += [
            edge.i.payload.function.eq(self.i.request.payload.function - self.first),
            self.o.reset.eq(self.i.reset >> self.first),
            self.i.reset_done.eq(self.o.reset_done << self.first),
        ]
        return m


class MailboxShift(wiring.Component):
    """The same of an engine that speaks to the mailbox.

    Parameters
    ----------
    first
        The mailbox's number of the engine's function 0.

    Members
    -------
    i : In(MailboxPort)
        From the engine.
    o : Out(MailboxPort)
        To the mailbox.
    """

    i: In(MailboxPort)
    o: Out(MailboxPort)

    def __init__(self, first: int):
        self.first = first
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        connect(m, flipped(self.i.request), flipped(self.o.request))
        connect(m, flipped(self.o.reply), flipped(self.i.reply))
        asked, told = self.i.request.payload.header, self.o.reply.payload.header
        m.d.comb += [
            self.o.request.payload.header.function.eq(asked.function + self.first),
            self.i.reply.payload.header.function.eq(told.function - self.first),
            self.i.credit.eq(self.o.credit >> self.first),
            self.o.reset.eq(self.i.reset << self.first),
            self.i.reset_done.eq(self.o.reset_done >> self.first),
        ]
        return m


class _Share(wiring.Component):
    """One port of the PCIe room for several requesters.

    Parameters
    ----------
    firsts
        For each requester the number of the first function of its engine: what is added to the
        functions that it names.

    Members
    -------
    i : array of In(signature_of_port)
        The requesters.
    o : Out(signature_of_port)
        The port.
    """

    signature_of_port: wiring.Signature

    def __init__(self, firsts: Sequence[int]):
        self.firsts = tuple(firsts)
        port = self.signature_of_port
        super().__init__({"i": In(port).array(len(self.firsts)), "o": Out(port)})

    def elaborate(self, platform):
        m = Module()
        if len(self.firsts) > 1:
            self._share(m)
            return m
        connect(m, flipped(self.i[0]), flipped(self.o))
        payload = self.i[0].command.payload
        m.d.comb += self.o.command.payload.function.eq(payload.function + self.firsts[0])
        return m

    def _share(self, m):
        """Let several have it."""
        raise NotImplementedError


class ReadShare(_Share):
    """One read port of the PCIe room for several requesters, command by command.

    Answers come in the order of the commands, so each requester takes its own in bounded time,
    whatever becomes of the others'; ``niter.interface.memory`` asks that of them. A command takes
    3 cycles or more, an answer none.
    """

    signature_of_port = HostRead

    def _share(self, m):
        count = len(self.firsts)
        m.submodules.arbiter = arbiter = Arbiter(ReadCommand, count, packet=False)
        # Whose the answers are. It is told before the command is shown: an answer may begin
        # while the last requests of a long command are still to be made.
        m.submodules.order = order = Fifo(range(count), _UNANSWERED)
        # From the PCIe room to the requesters is too far for one cycle.
        m.submodules.edge = edge = HalfBuffer(ReadCommand)
        for first, requester, taken in zip(self.firsts, self.i, arbiter.i, strict=True):
            given = requester.command
            m.d.comb += [
                taken.valid.eq(given.valid),
                taken.payload.eq(given.payload),
                taken.payload.function.eq(given.payload.function + first),
                given.ready.eq(taken.ready),
            ]
        m.d.comb += [
            order.i.payload.eq(arbiter.turn),
            order.i.valid.eq(arbiter.o.valid & edge.i.ready),
            edge.i.payload.eq(arbiter.o.payload),
            edge.i.valid.eq(arbiter.o.valid & order.i.ready),
            arbiter.o.ready.eq(edge.i.ready & order.i.ready),
        ]
        connect(m, edge.o, flipped(self.o.command))

        answer = self.o.answer
        for number, requester in enumerate(self.i):
            mine = order.o.valid & (order.o.payload == number)
            m.d.comb += [
                requester.answer.payload.eq(answer.payload),
                requester.answer.valid.eq(answer.valid & mine),
            ]
            with m.If(mine):
                m.d.comb += answer.ready.eq(requester.answer.ready)
        m.d.comb += order.o.ready.eq(answer.valid & answer.ready & answer.payload.packet.last)


class WriteShare(_Share):
    """One write port of the PCIe room for several requesters, write by write.

    Nothing is kept here: what a requester sees accepted the port has accepted, as the order of
    writes across ports asks for. A requester has the port until it has written one packet with its
    command, whichever of them comes first, or raised one interrupt; then the turn goes round. That
    costs a cycle.
    """

    signature_of_port = HostWrite

    def _share(self, m):
        command, data = self.o.command, self.o.data
        count = len(self.firsts)
        turn, busy = Signal(range(count)), Signal()
        requesters = Array(self.i)
        mine = requesters[turn]
        firsts = Array(Const(first, 3) for first in self.firsts)
        # In this turn a write command was accepted; a packet was shown; all of it was accepted.
        commanded, begun, ended = Signal(), Signal(), Signal()
        m.d.comb += [
            command.payload.eq(mine.command.payload),
            command.payload.function.eq(mine.command.payload.function + firsts[turn]),
            command.valid.eq(busy & ~commanded & mine.command.valid),
            data.payload.eq(mine.data.payload),
            data.valid.eq(busy & ~ended & mine.data.valid),
        ]
        for number, requester in enumerate(self.i):
            here = busy & (turn == number)
            m.d.comb += [
                requester.command.ready.eq(here & ~commanded & command.ready),
                requester.data.ready.eq(here & ~ended & data.ready),
            ]

        ordered, moved = command.valid & command.ready, data.valid & data.ready
        writes = command.payload.kind == WriteKind.MEMORY
        now_commanded, now_ended = Signal(), Signal()
        m.d.comb += [
            now_commanded.eq(commanded | (ordered & writes)),
            now_ended.eq(ended | (moved & data.payload.last)),
        ]
        waiting = Cat(each.command.valid | each.data.valid for each in self.i)
        with m.If(busy):
            m.d.sync += [
                commanded.eq(now_commanded),
                begun.eq(begun | data.valid),
                ended.eq(now_ended),
            ]
            # A packet that was shown to the port goes on to its end.
            idle = ~begun & ~data.valid
            with m.If((now_commanded & now_ended) | (ordered & ~writes & idle)):
                m.d.sync += [busy.eq(0), commanded.eq(0), begun.eq(0), ended.eq(0)]
                m.d.sync += turn.eq(Mux(turn == count - 1, 0, turn + 1))
        # From the one whose turn it would be on, the first that has something.
        with m.Else(), m.Switch(turn):
            for number in range(count):
                with m.Case(number):
                    for step in reversed(range(count)):
                        other = (number + step) % count
                        with m.If(waiting[other]):
                            m.d.sync += [turn.eq(other), busy.eq(1)]
