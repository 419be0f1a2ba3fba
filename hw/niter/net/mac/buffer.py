"""The store-and-forward point before a MAC: frames leave it whole, checksums filled in."""

from collections.abc import Sequence

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.interface import BEAT_BYTES, FrameMeta, FrameStream
from niter.stream import Checksum, Fifo, Ram

__all__ = ["TransmitBuffer"]


class TransmitBuffer(wiring.Component):
    """Stores frames, fills in their checksum slots, and gives them out without a pause.

    A frame that ends in ``error``, or is longer than the buffer, disappears. The sum of a
    slot (RFC 1071) runs over what the frame holds; where both slots are enabled, the outer sum
    is corrected by what the inner one changes in its slot. A result of zero is stored as
    FFFFh, which is the same number and does not mean "no checksum" to UDP (RFC 768).

    Latency from the last beat in to the first beat out is 6 cycles, and 11 more for a frame
    with a slot to fill; during those the input waits. One beat a cycle otherwise.

    Parameters
    ----------
    depth
        Beats of storage, a power of two; one less is the longest frame that fits.
    frames
        Frames of storage.
    keep
        Members of ``FrameMeta`` that go with the frame, beside ``length``. All others are
        zero at the output.

    Members
    -------
    i : In(FrameStream)
        Frames.
    o : Out(FrameStream)
        Frames. Once one is offered, its beats follow in each cycle.
    sent : Out(1)
        High for one cycle for each frame that is put into storage; its length is ``length``.
    length : Out(14)
        See ``sent``.
    discarded : Out(1)
        High for one cycle for each frame that is not.
    """

    def __init__(self, depth: int, *, frames: int = 32, keep: Sequence[str] = ()):
        if depth < 4 or depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two from 4 up, not {depth!r}")
        self.depth = depth
        self.frames = frames
        meta = data.Layout.cast(FrameMeta)
        self._entry = data.StructLayout({name: meta[name].shape for name in ("length", *keep)})
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                "sent": Out(1),
                "length": Out(14),
                "discarded": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        bits = ceil_log2(self.depth)
        m.submodules.beats = beats = Ram(shape=64, depth=self.depth, init=[])
        m.submodules.entries = entries = Fifo(self._entry, self.frames)
        m.submodules.inner = inner = Checksum()
        m.submodules.outer = outer = Checksum()
        beat, meta = self.i.payload.packet, self.i.payload.meta
        slots = {"inner": meta.inner_checksum, "outer": meta.outer_checksum}

        # Beats from `head` to `committed` may leave, those to `tail` are still being stored.
        head = Signal(bits + 1)
        committed = Signal(bits + 1)
        tail = Signal(bits + 1)
        room = Signal()
        stuck = Signal()
        discarding = Signal()
        level = Signal(bits + 1)
        m.d.comb += level.eq(tail - head)
        m.d.sync += [
            room.eq(level < self.depth - 2),
            stuck.eq((level >= self.depth - 2) & (head == committed)),
        ]

        transfer = Signal()
        wanted = Signal()
        index = Signal(bits)
        seed = Signal(16)
        bad = Signal()
        held = Signal(self._entry)
        pending = {name: Signal(name=f"{name}_pending") for name in slots}
        position = {name: Signal(14, name=f"{name}_position") for name in slots}
        write = beats.write_port(granularity=8)
        m.d.comb += [
            transfer.eq(self.i.valid & self.i.ready),
            wanted.eq(slots["inner"].enable | slots["outer"].enable),
            index.eq(tail - committed),
            write.addr.eq(tail),
            write.data.eq(beat.data),
            write.en.eq(transfer.replicate(BEAT_BYTES)),
        ]
        for checksum, slot in ((inner, slots["inner"]), (outer, slots["outer"])):
            m.d.comb += [
                checksum.beat.eq(beat),
                checksum.stb.eq(transfer & wanted),
                checksum.start.eq(slot.start),
            ]
        # Meta does not change within a frame: what the last beat carries is what counts.
        with m.If(transfer):
            with m.If(index == slots["inner"].position[3:]):
                word = slots["inner"].position[1:3]
                m.d.sync += seed.eq(_swapped(beat.data.word_select(word, 16)))
            for name, slot in slots.items():
                m.d.sync += [pending[name].eq(slot.enable), position[name].eq(slot.position)]
            m.d.sync += [held[name].eq(meta[name]) for name, _ in self._entry]

        value = Signal(16)
        outer_sum = Signal(18)
        m.d.sync += [self.sent.eq(0), self.discarded.eq(0)]
        with m.FSM():
            with m.State("STORE"):
                m.d.comb += self.i.ready.eq((room & entries.i.ready) | discarding)
                with m.If(stuck & self.i.valid):
                    m.d.sync += discarding.eq(1)
                with m.If(transfer):
                    m.d.sync += tail.eq(tail + 1)
                    with m.If(discarding):
                        m.d.sync += tail.eq(committed)
                    with m.If(beat.last):
                        m.d.sync += [bad.eq(beat.error | discarding), discarding.eq(0)]
                        m.next = "COMMIT"
                        with m.If(wanted):
                            m.next = "SUM"
            with m.State("SUM"):
                # Both sums come in the same cycle. Replacing the seed by the inner result
                # takes the one from the outer sum, as its complement, and adds the other.
                m.d.sync += [value.eq(_stored(inner.sum)), outer_sum.eq(outer.sum)]
                with m.If(inner.done):
                    m.next = "FOLD"
                    with m.If(pending["inner"]):
                        m.d.sync += outer_sum.eq(outer.sum + (~seed)[:16])
                        m.next = "INNER"
            with m.State("INNER"):
                self._patch(m, write, committed + position["inner"][3:], position["inner"], value)
                m.d.sync += outer_sum.eq(outer_sum + value)
                m.next = "FOLD"
            with m.State("FOLD"):
                m.d.sync += outer_sum.eq(outer_sum[:16] + outer_sum[16:])
                m.next = "CARRY"
            with m.State("CARRY"):
                m.d.sync += outer_sum.eq(outer_sum[:16] + outer_sum[16:])
                m.next = "COMPLEMENT"
            with m.State("COMPLEMENT"):
                m.d.sync += value.eq(_stored(outer_sum[:16]))
                m.next = "COMMIT"
                with m.If(pending["outer"]):
                    m.next = "OUTER"
            with m.State("OUTER"):
                self._patch(m, write, committed + position["outer"][3:], position["outer"], value)
                m.next = "COMMIT"
            with m.State("COMMIT"):
                m.d.comb += [entries.i.valid.eq(~bad), entries.i.payload.eq(held)]
                m.d.sync += [
                    self.sent.eq(~bad),
                    self.discarded.eq(bad),
                    self.length.eq(held.length),
                    tail.eq(committed),
                ]
                with m.If(~bad):
                    m.d.sync += [committed.eq(tail), tail.eq(tail)]
                m.next = "STORE"

        self._give_out(m, beats, entries, head)
        return m

    def _patch(self, m, write, address, position, value):
        """Store the two bytes of ``value`` at byte ``position`` of the frame."""
        m.d.comb += [
            write.addr.eq(address),
            write.data.eq(_swapped(value).replicate(BEAT_BYTES // 2)),
            write.en.eq(0),
            write.en.word_select(position[1:3], 2).eq(0b11),
        ]

    def _give_out(self, m, beats, entries, head):
        """Read frames by their entries, as a pipeline that moves as one: RAM, output."""
        read = beats.read_port()
        entry = entries.o.payload
        left = Signal(14 - ceil_log2(BEAT_BYTES))
        busy = Signal()
        advance = Signal()
        in_ram = Signal()
        last = Signal()
        kept = Signal(self._entry)
        beat, meta = self.o.payload.packet, self.o.payload.meta
        empty = Signal(3)
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            read.addr.eq(head),
            read.en.eq(advance),
            empty.eq(-kept.length[:3]),
        ]
        with m.If(advance):
            m.d.sync += [in_ram.eq(busy), last.eq(left == 0)]
            with m.If(busy):
                m.d.sync += [head.eq(head + 1), left.eq(left - 1), busy.eq(left != 0)]
            with m.If(~busy | (left == 0)):
                # The entry stays in `kept` until its last beat has moved on.
                m.d.comb += entries.o.ready.eq(1)
                m.d.sync += [
                    busy.eq(entries.o.valid),
                    left.eq((entry.length - 1) >> ceil_log2(BEAT_BYTES)),
                ]
            m.d.sync += [
                self.o.valid.eq(in_ram),
                beat.data.eq(read.data),
                beat.last.eq(last),
                beat.empty.eq(0),
            ]
            with m.If(last):
                m.d.sync += beat.empty.eq(empty)
        current = Signal(self._entry)
        with m.If(advance & entries.o.ready & entries.o.valid):
            m.d.sync += current.eq(entry)
        with m.If(advance):
            m.d.sync += kept.eq(current)
            for name, _ in self._entry:
                m.d.sync += meta[name].eq(kept[name])


def _swapped(word):
    """Between a number and the order of its two bytes in their lanes."""
    return Cat(word[8:16], word[:8])


def _stored(total):
    """What is stored for a sum: its complement, or FFFFh where that is zero."""
    return (~total)[:16] | (total == 0xFFFF).replicate(16)
