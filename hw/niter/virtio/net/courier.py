"""Sends a control command to the firmware."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, MessageBeat

from .messages import COMMAND_BYTES, CommandKind

__all__ = ["Courier"]


class Courier(wiring.Component):
    """Makes a message of the words in ``CommandReader``'s buffer, a beat in four cycles.

    Members
    -------
    go : In(1)
        High until ``done``; not before the buffer's first word has been at hand for a cycle.
    done : Out(1)
        The last beat is taken.
    function : In(3), tag : In(16), length : In(7), cut : In(1)
        Whose command, which one, how many bytes of it are in the buffer, and whether it has more.
    at : Out(4), word : In(32)
        The buffer.
    request : Out(stream.Signature(MessageBeat))
        To the mailbox.
    """

    go: In(1)
    done: Out(1)
    function: In(3)
    tag: In(16)
    length: In(range(COMMAND_BYTES + 1))
    cut: In(1)
    at: Out(range(COMMAND_BYTES // 4))
    word: In(32)
    request: Out(stream.Signature(MessageBeat))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        packet, header = self.request.payload.packet, self.request.payload.header
        first = Signal(32)
        beat, upper, last = Signal(range(COMMAND_BYTES // BEAT_BYTES)), Signal(), Signal()
        m.d.sync += last.eq((self.length - 1)[3:6] == beat)
        m.d.comb += [
            self.at.eq(Cat(upper, beat)),
            packet.data.eq(Cat(first, self.word)),
            packet.last.eq(last),
            packet.empty.eq(Mux(last, -self.length[:3], 0)),
            header.function.eq(self.function),
            header.kind.eq(Mux(self.cut, CommandKind.CUT, CommandKind.WHOLE)),
            header.tag.eq(self.tag),
            header.length.eq(self.length),
        ]
        with m.FSM():
            with m.State("FIRST"), m.If(self.go):
                m.d.sync += [first.eq(self.word), upper.eq(1)]
                m.next = "SECOND"
            with m.State("SECOND"):
                m.next = "BEAT"
            with m.State("BEAT"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.d.comb += self.done.eq(last)
                    m.d.sync += [upper.eq(0), beat.eq(Mux(last, 0, beat + 1))]
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.next = "FIRST"
        return m
