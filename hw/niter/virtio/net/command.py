"""Reads a control command from host memory, whatever pieces it is in."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, HostRead
from niter.ram import Ram

from .intake import MAX_SEGMENTS, Part, Place, Summary
from .messages import COMMAND_BYTES

__all__ = ["CommandReader"]


class CommandReader(wiring.Component):
    """Reads the segments of a command, one after the other, into a buffer of 64 bytes.

    Each answer begins at the lane behind the one before, so that no byte is moved here. A beat
    takes two cycles; a segment some ten, and what host memory needs. What does not fit is not
    read. The buffer is one EBR.

    Members
    -------
    go : In(1)
        High until ``done``.
    function : In(3), segments : In(4)
        Whose command, of how many readable segments.
    place : Out(Place), word : In(33)
        The table of ``Intake``.
    read : Out(HostRead)
        Host memory.
    done : Out(1)
        In the last cycle.
    gathered : Out(7), failed : Out(1)
        Bytes in the buffer; some could not be read. They stay until the next begins.
    at : In(4), found : Out(32)
        A word of the buffer, one cycle later; not while a command is being read.
    """

    go: In(1)
    function: In(3)
    segments: In(range(MAX_SEGMENTS + 1))
    place: Out(Place)
    word: In(Summary.as_shape().size)
    read: Out(HostRead)
    done: Out(1)
    gathered: Out(range(COMMAND_BYTES + 1))
    failed: Out(1)
    at: In(range(COMMAND_BYTES // 4))
    found: Out(32)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.buffer = buffer = Ram(shape=32, depth=COMMAND_BYTES // 4, init=[])
        store, load = buffer.write_port(granularity=8), buffer.read_port()
        segment = Signal(range(MAX_SEGMENTS + 2))
        low, high = Signal(32), Signal(32)
        expected, room = Signal.like(self.gathered), Signal.like(self.gathered)
        beat, half, inside = Signal(range(COMMAND_BYTES // BEAT_BYTES)), Signal(), Signal()
        answer = self.read.answer.payload.packet
        command = self.read.command.payload
        first = self.gathered[:3]
        lanes = Mux(inside, 0xFF, (0xFF << first)[:BEAT_BYTES])
        m.d.sync += room.eq(COMMAND_BYTES - self.gathered)
        m.d.comb += [
            self.place.function.eq(self.function),
            self.place.segment.eq(segment),
            command.address.eq(Cat(low, high)),
            command.length.eq(expected),
            command.lane.eq(first),
            command.function.eq(self.function),
            store.addr.eq(Cat(half, beat)),
            store.data.eq(answer.data.word_select(half, 32)),
            load.addr.eq(self.at),
            self.found.eq(load.data),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += segment.eq(1)
                with m.If(self.go):
                    m.d.sync += [self.gathered.eq(0), self.failed.eq(0)]
                    m.next = "SEGMENT"
            with m.State("SEGMENT"):
                m.d.comb += self.place.part.eq(Part.LENGTH)
                m.d.sync += [half.eq(0), beat.eq(self.gathered[3:]), inside.eq(0)]
                m.next = "LENGTH"
                with m.If(self.gathered[-1] | (segment > self.segments)):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
            with m.State("LENGTH"):
                m.d.comb += self.place.part.eq(Part.LOW)
                m.d.sync += expected.eq(self.word)
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += self.place.part.eq(Part.HIGH)
                m.d.sync += low.eq(self.word)
                with m.If(room < expected):
                    m.d.sync += expected.eq(room)
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.sync += high.eq(self.word)
                m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.read.command.valid.eq(1)
                with m.If(self.read.command.ready):
                    m.next = "GATHER"
            with m.State("GATHER"), m.If(self.read.answer.valid):
                m.d.comb += [
                    store.en.eq(lanes.word_select(half, 4)),
                    self.read.answer.ready.eq(half),
                ]
                m.d.sync += half.eq(~half)
                with m.If(half):
                    m.d.sync += [inside.eq(1), beat.eq(beat + 1)]
                    with m.If(answer.last):
                        m.d.sync += [
                            self.failed.eq(self.failed | answer.error),
                            self.gathered.eq(self.gathered + expected),
                            segment.eq(segment + 1),
                        ]
                        m.next = "SEGMENT"
        return m
