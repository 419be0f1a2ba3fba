"""Moves the data of pulls and pushes through one engine."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import SECTOR_BYTES, BlockSpan, PacketStream
from niter.security.xts import DataUnit, XtsWord

from .admission import Located

__all__ = ["Mover", "Passage"]

_SECTOR_WORDS = SECTOR_BYTES // 8


class Passage(data.Struct):
    """What goes through the engine beside each block of a packet.

    Members
    -------
    tag : 8 bits
        Of the request.
    push : 1 bit
        To the front end; otherwise to the transport.
    last, error : 1 bit
        It is the packet's last block; the packet ends with ``error``.
    """

    tag: 8
    push: 1
    last: 1
    error: 1


class _Job(data.Struct):
    """A packet: which way, whose, and how."""

    span: BlockSpan
    push: 1
    encrypted: 1


class Mover(wiring.Component):
    """Takes packets of both directions in turn, and sends them through the cipher or past it.

    A packet has the engine until its last word went in. The next one is chosen meanwhile, so that
    its first tweak is made in time: of the other direction if its first word is there. A packet
    that is not encrypted waits until the engine is empty, and goes past it, a word a cycle.
    Packets keep their length: one that ends early, or too late, is filled up or cut, and ends
    with ``error``.

    Members
    -------
    pull, push : In(stream.Signature(BlockSpan))
        Whose the next packet of each direction is.
    i_pull, i_push : In(PacketStream)
        The packets: of the front end, to be encrypted, and of the transport, to be decrypted.
    o_pull, o_push : Out(PacketStream)
        The same behind the cipher: to the transport, and to the front end.
    tag : Out(8)
        Request to look up.
    located : In(Located)
        What is remembered of it, a cycle later.
    lost : Out(1)
        The packet of request ``lost_tag``, which ends now, missed its key.
    lost_tag : Out(8)
        Its tag.
    unit, word : Out(stream.Signature(DataUnit)), Out(stream.Signature(XtsWord))
        To the engine.
    done : In(stream.Signature(XtsWord))
        From the engine.
    empty : In(1)
        The engine is empty.
    """

    pull: In(stream.Signature(BlockSpan))
    push: In(stream.Signature(BlockSpan))
    i_pull: In(PacketStream)
    i_push: In(PacketStream)
    o_pull: Out(PacketStream)
    o_push: Out(PacketStream)
    tag: Out(8)
    located: In(Located)
    lost: Out(1)
    lost_tag: Out(8)
    unit: Out(stream.Signature(DataUnit))
    word: Out(stream.Signature(XtsWord))
    done: In(stream.Signature(XtsWord))
    empty: In(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # Choosing: the other direction first, if both are there. What is chosen waits in ``next_``
        # until the packet before it is through. Of the direction that is under way the next
        # packet's first word cannot be seen: its turn comes when the other has nothing.
        chosen = _Job(Signal(_Job))
        next_, job = _Job(Signal(_Job)), _Job(Signal(_Job))
        waiting, running, begin = Signal(), Signal(), Signal()
        pull_here = self.pull.valid & self.i_pull.valid & ~(running & ~job.push)
        push_here = self.push.valid & self.i_push.valid & ~(running & job.push)
        pushing = job.push
        later = running & Mux(pushing, self.push.valid, self.pull.valid)
        choice = Signal()
        m.d.comb += [
            choice.eq(Mux(pull_here | push_here, Mux(chosen.push, ~pull_here, push_here), pushing)),
            self.tag.eq(chosen.span.tag),
        ]

        # The packet's words; what is missing of it is zero.
        beat = Signal(64)
        valid, last, error = Signal(), Signal(), Signal()
        take = Signal()
        with m.If(pushing):
            m.d.comb += [
                beat.eq(self.i_push.payload.data),
                valid.eq(self.i_push.valid),
                last.eq(self.i_push.payload.last),
                error.eq(self.i_push.payload.error),
                self.i_push.ready.eq(take),
            ]
        with m.Else():
            m.d.comb += [
                beat.eq(self.i_pull.payload.data),
                valid.eq(self.i_pull.valid),
                last.eq(self.i_pull.payload.last),
                error.eq(self.i_pull.payload.error),
                self.i_pull.ready.eq(take),
            ]
        ended, failed = Signal(), Signal()
        index = Signal(range(_SECTOR_WORDS))
        sectors = job.span.sectors
        end = (index == _SECTOR_WORDS - 1) & (sectors == 1)
        moved = Signal()
        # It ends too early or too late, or with an error of its own.
        bad = failed | (~ended & (error | (last != end)))
        with m.If(moved):
            m.d.sync += index.eq(index + 1)
            with m.If(~ended):
                m.d.sync += [ended.eq(last), failed.eq(failed | error | (last & ~end))]
            with m.If(index == _SECTOR_WORDS - 1):
                m.d.sync += sectors.eq(sectors - 1)

        # Data units run ahead of their words.
        units = Signal(5)
        number = Signal(56)
        slot = Signal(4)
        m.d.comb += [
            self.unit.valid.eq(units != 0),
            self.unit.payload.slot.eq(slot),
            self.unit.payload.decrypt.eq(chosen.push),
            self.unit.payload.number.eq(number),
        ]
        with m.If(self.unit.valid & self.unit.ready):
            m.d.sync += [units.eq(units - 1), number.eq(number + 1)]

        passage = Passage(Signal(Passage))
        m.d.comb += [
            passage.tag.eq(job.span.tag),
            passage.push.eq(pushing),
            passage.last.eq(end),
            passage.error.eq(bad),
            self.word.payload.data.eq(beat & (~ended).replicate(64)),
            self.word.payload.last.eq(index == _SECTOR_WORDS - 1),
            self.word.payload.side.eq(passage),
        ]

        # The way out: the engine's words, or, while it is empty, those that go past it.
        past = Signal()
        out, out_valid, out_ready = Signal.like(self.o_pull.payload), Signal(), Signal()
        to_front = Signal()
        leaving = Passage(self.done.payload.side)
        missed = Signal()
        m.d.comb += out_ready.eq(Mux(to_front, self.o_push.ready, self.o_pull.ready))
        with m.If(past):
            m.d.comb += [
                to_front.eq(pushing),
                out_valid.eq(valid | ended),
                out.data.eq(beat & (~ended).replicate(64)),
                out.last.eq(end),
                out.error.eq(end & bad),
            ]
        with m.Else():
            m.d.comb += [
                to_front.eq(leaving.push),
                out_valid.eq(self.done.valid),
                self.done.ready.eq(out_ready),
                out.data.eq(self.done.payload.data),
                out.last.eq(self.done.payload.last & leaving.last),
                out.error.eq(out.last & (leaving.error | missed | self.done.payload.bad)),
            ]
        leaves = out_valid & out_ready
        with m.If(leaves):
            m.d.sync += missed.eq((missed | self.done.payload.bad) & ~past & ~out.last)
        m.d.comb += [
            self.o_pull.payload.eq(out),
            self.o_push.payload.eq(out),
            self.o_pull.valid.eq(out_valid & ~to_front),
            self.o_push.valid.eq(out_valid & to_front),
            self.lost.eq(leaves & out.last & ~past & (missed | self.done.payload.bad)),
            self.lost_tag.eq(leaving.tag),
        ]

        with m.FSM(name="choose"):
            with m.State("Choose"), m.If(pull_here | push_here | later):
                m.d.comb += [self.pull.ready.eq(~choice), self.push.ready.eq(choice)]
                m.d.sync += [
                    chosen.push.eq(choice),
                    chosen.span.eq(Mux(choice, self.push.payload, self.pull.payload)),
                ]
                m.next = "Look up"
            with m.State("Look up"):
                m.next = "Place"
            with m.State("Place"), m.If(~waiting):
                m.d.sync += [
                    number.eq(self.located.lba + chosen.span.first),
                    slot.eq(self.located.slot),
                    waiting.eq(1),
                    next_.eq(chosen),
                    next_.encrypted.eq(self.located.encrypted),
                ]
                with m.If(self.located.encrypted):
                    m.d.sync += units.eq(chosen.span.sectors)
                    m.next = "Units"
                with m.Else():
                    m.next = "Past"
            with m.State("Units"), m.If((units == 0) & ~waiting):
                m.next = "Choose"
            # Nothing may be in the engine before such a packet is through.
            with m.State("Past"), m.If(~waiting & ~running):
                m.next = "Choose"

        with m.If(begin):
            m.d.sync += [
                job.eq(next_),
                waiting.eq(0),
                running.eq(1),
                index.eq(0),
                ended.eq(0),
                failed.eq(0),
            ]
        with m.FSM(name="move"):
            with m.State("Idle"), m.If(waiting & (next_.encrypted | self.empty)):
                m.d.comb += begin.eq(1)
                m.next = "Encrypted"
                with m.If(~next_.encrypted):
                    m.next = "Plain"
            with m.State("Encrypted"):
                m.d.comb += [
                    self.word.valid.eq(valid | ended),
                    moved.eq(self.word.valid & self.word.ready),
                    take.eq(self.word.ready & ~ended),
                ]
                with m.If(moved & end):
                    m.next = "Cut"
            with m.State("Plain"):
                m.d.comb += [
                    past.eq(1),
                    moved.eq(leaves),
                    take.eq(out_ready & ~ended),
                ]
                with m.If(moved & end):
                    m.next = "Cut"
            with m.State("Cut"):
                # Whatever is too much of it.
                m.d.comb += take.eq(~ended)
                with m.If(ended):
                    m.d.sync += running.eq(0)
                    m.next = "Idle"
                with m.Elif(valid):
                    m.d.sync += ended.eq(last)
        return m
