"""Writes completion entries and interrupts."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import HostWrite, WriteKind

from .layouts import Post

__all__ = ["Poster"]

#: Bytes of a completion entry (Base 2.0, 3.3.3.2).
_ENTRY_BYTES = 16


class Poster(wiring.Component):
    """Hands one entry to host memory, and an interrupt behind it if one is wanted.

    Members
    -------
    post : In(stream.Signature(Post))
        Accepted when all of it was, or with ``drop``.
    start, drop, alone : In(1)
        Write what stands on ``post``, forget it, or raise an interrupt without it. Only while
        not ``busy``.
    interrupt : In(1)
        With ``start``: one is wanted. This and all below are looked at in the same cycle.
    address : In(64), function : In(3), vector : In(8)
        Where to write, and who interrupts.
    phase : In(1)
        Phase tag of the entry.
    write : Out(HostWrite)
    busy : Out(1)
        Something has not been accepted yet.
    """

    post: In(stream.Signature(Post))
    start: In(1)
    drop: In(1)
    alone: In(1)
    interrupt: In(1)
    address: In(64)
    function: In(3)
    vector: In(8)
    phase: In(1)
    write: Out(HostWrite)
    busy: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        command, content, post = self.write.command, self.write.data, self.post.payload
        phase, interrupt, second = Signal(), Signal(), Signal()
        has_entry = Signal()
        # The two beats: dwords 0 and 1, dwords 2 and 3.
        m.d.comb += [
            content.payload.data.eq(
                Mux(
                    second,
                    Cat(post.head, C(0, 4), post.queue, C(0, 11), post.cid, phase, post.status),
                    post.result,
                )
            ),
            content.payload.last.eq(second),
        ]
        with m.If(command.ready):
            m.d.sync += command.valid.eq(0)
        with m.If(content.valid & content.ready):
            m.d.sync += second.eq(~second)
            with m.If(second):
                m.d.sync += content.valid.eq(0)

        m.d.comb += self.post.ready.eq(self.drop)
        with m.If(self.start | self.alone):
            m.d.sync += [
                self.busy.eq(1),
                has_entry.eq(self.start),
                command.valid.eq(self.start),
                content.valid.eq(self.start),
                command.payload.kind.eq(WriteKind.MEMORY),
                command.payload.address.eq(self.address),
                command.payload.length.eq(_ENTRY_BYTES),
                command.payload.function.eq(self.function),
                command.payload.vector.eq(self.vector),
                phase.eq(self.phase),
                interrupt.eq(self.interrupt),
            ]
        with m.Elif(self.busy & ~command.valid & ~content.valid):
            m.d.sync += interrupt.eq(0)
            with m.If(interrupt):
                m.d.sync += [command.valid.eq(1), command.payload.kind.eq(WriteKind.INTERRUPT)]
            with m.Else():
                m.d.sync += self.busy.eq(0)
                m.d.comb += self.post.ready.eq(has_entry)
        return m
