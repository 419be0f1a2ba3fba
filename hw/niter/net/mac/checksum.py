"""The sums behind the checksum slots of a frame that passes by."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, FrameBeat

__all__ = ["SlotSums"]

_WORDS = BEAT_BYTES // 2
#: Cycles from a frame's last beat to a sum that includes it.
_LATENCY = 4


class SlotSums(wiring.Component):
    """Computes what belongs into the checksum slots of each frame.

    Frames pass unchanged, a beat a cycle, and one cycle more when the inner sum begins in the
    middle of a beat. A slot's ``position`` and both ``start`` are even; neither sum starts in the
    first beat, nor the inner one before the outer one.

    Let A be the sum from the outer to the inner ``start``, B that from the inner one to the end,
    and S what stands in the inner slot. The inner checksum is ~B. With it in place of S, all
    behind the inner ``start`` sums to B - S + ~B, which is ~S: the outer checksum is
    ~(A + ~S), or ~B when there is no inner slot (ones' complement arithmetic, RFC 1071, and
    "local checksum offload" in the field). A checksum of 0 is written as 0xFFFF, its equal:
    UDP has another use for 0.

    Members
    -------
    i : In(stream.Signature(FrameBeat))
        Frames with slots.
    o : Out(stream.Signature(FrameBeat))
        The same frames.
    whole : In(1)
        The last frame that passed is in storage, and waits.
    patch_valid, patch_position, patch_value : Out
        Write ``value`` at byte ``2 * position`` of that frame; lane order, not network order.
        ``position`` has stood for a cycle then.
    release : Out(1)
        Strobe: that frame is done; together with ``whole`` if it has no slots, 5 cycles later
        with one and 8 with two.
    """

    i: In(stream.Signature(FrameBeat))
    o: Out(stream.Signature(FrameBeat))
    whole: In(1)
    patch_valid: Out(1)
    patch_position: Out(13)
    patch_value: Out(16)
    release: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        beat = self.i.payload.packet
        slots = {"inner": self.i.payload.meta.inner_checksum}
        slots["outer"] = self.i.payload.meta.outer_checksum

        # Where the frame is, and which of its words belong to which sum.
        index = Signal(11)
        split = Signal()
        step = Signal()
        transfer = Signal()
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & ~split),
            self.i.ready.eq(self.o.ready & ~split),
            transfer.eq(self.o.valid & self.o.ready),
            step.eq(transfer | (self.i.valid & split)),
        ]
        with m.If(transfer):
            m.d.sync += index.eq(Mux(beat.last, 0, index + 1))
        here, reached, words, seen = {}, {}, {}, {}
        for name, slot in slots.items():
            # Found out a beat before, since the input's `ready` depends on it.
            here[name] = Signal(name=f"{name}_here")
            reached[name] = Signal(name=f"{name}_reached")
            seen[name] = Signal(name=f"{name}_seen")
            at = Signal(name=f"{name}_at")
            m.d.comb += at.eq(slot.enable & (index == slot.position[3:]))
            words[name] = [
                reached[name] | (here[name] & (n >= slot.start[1:3])) for n in range(_WORDS)
            ]
            with m.If(transfer):
                m.d.sync += [
                    here[name].eq(slot.enable & ~beat.last & (index + 1 == slot.start[3:])),
                    reached[name].eq((reached[name] | here[name]) & ~beat.last),
                    seen[name].eq(at | (seen[name] & (index != 0))),
                ]
        seed = Signal(16)
        with m.If(index == slots["inner"].position[3:]):
            m.d.sync += seed.eq(beat.data.word_select(slots["inner"].position[1:3], 16))

        # A beat in which the inner sum begins is added in two parts.
        parted = Signal()
        in_inner = Signal()
        m.d.comb += [
            in_inner.eq(reached["inner"] | here["inner"]),
            split.eq(here["inner"] & (slots["inner"].start[1:3] != 0) & ~parted),
        ]
        with m.If(self.i.valid):
            m.d.sync += parted.eq(split | (parted & ~transfer))

        # 1: the words of this step; 2 and 3: added up.
        masked = [Signal(16, name=f"word_{n}") for n in range(_WORDS)]
        for n, word in enumerate(masked):
            inner, outer = words["inner"][n], words["outer"][n]
            counts = Mux(split, outer & ~inner, Mux(in_inner, inner, outer))
            for lane in range(2):
                present = counts & (beat.empty < BEAT_BYTES - 2 * n - lane)
                octet = word.word_select(lane, 8)
                # Written like this it becomes a flip-flop's reset, and costs nothing a bit.
                with m.If(present):
                    m.d.sync += octet.eq(beat.data.word_select(2 * n + lane, 8))
                with m.Else():
                    m.d.sync += octet.eq(0)
        pairs = [Signal(17, name=f"pair_{n}") for n in range(2)]
        beat_sum = Signal(18)
        m.d.sync += [
            pairs[0].eq(masked[0] + masked[1]),
            pairs[1].eq(masked[2] + masked[3]),
            beat_sum.eq(pairs[0] + pairs[1]),
        ]
        # What goes along: there is a step, it is the frame's first, the inner sum begins.
        begins = here["inner"] & ~split
        restart = ((index == 0) & ~parted) | begins
        tags = [Cat(step, restart & step, begins & step)]
        tags += [Signal(3, name=f"tags_{n}") for n in range(1, _LATENCY)]
        m.d.sync += [after.eq(before) for before, after in pairwise(tags)]

        # 4: the running sum. Where the inner one begins, the outer part is put aside.
        total = Signal(16 + 13)
        aside = Signal.like(total)
        outer_turn = Signal()
        summed, restarted, begun = tags[-1]
        with m.If(summed | outer_turn):
            m.d.sync += total.eq(
                Mux(outer_turn, aside, total & ~restarted.replicate(len(total)))
                + Mux(outer_turn, ~seed, beat_sum)
            )
        with m.If(begun):
            m.d.sync += aside.eq(total)
        self._finish(m, seen, total, outer_turn)
        return m

    def _finish(self, m: Module, seen: dict[str, Signal], total: Signal, outer_turn: Signal):
        """Fold the sums when the frame is whole, inner first, and hand them out."""
        meta = self.i.payload.meta
        position = {name: Signal(13, name=f"{name}_position") for name in seen}
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                position["inner"].eq(meta.inner_checksum.position[1:]),
                position["outer"].eq(meta.outer_checksum.position[1:]),
            ]
        folded = Signal(17)
        result = Signal(16)
        m.d.sync += [
            folded.eq(total[:16] + total[16:]),
            result.eq(folded[:16] + folded[16]),
        ]
        inner = Signal()
        wait = Signal(range(_LATENCY))
        m.d.comb += [
            self.patch_position.eq(Mux(inner, position["inner"], position["outer"])),
            self.patch_value.eq(~result | result.all().replicate(16)),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [inner.eq(seen["inner"]), wait.eq(0)]
                with m.If(self.whole):
                    m.next = "Wait"
                    with m.If(~seen["inner"] & ~seen["outer"]):
                        m.d.comb += self.release.eq(1)
                        m.next = "Idle"
            with m.State("Wait"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == _LATENCY - 1):
                    m.next = "Patch"
            with m.State("Patch"):
                m.d.comb += self.patch_valid.eq(1)
                with m.If(inner & seen["outer"]):
                    m.d.comb += outer_turn.eq(1)
                    m.d.sync += [inner.eq(0), wait.eq(_LATENCY - 2)]
                    m.next = "Wait"
                with m.Else():
                    m.d.comb += self.release.eq(1)
                    m.next = "Idle"
