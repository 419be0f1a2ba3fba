"""The Internet checksum, 64 bits at a time."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, Beat

__all__ = ["Checksum"]


class Checksum(wiring.Component):
    """Ones' complement sum over a passing packet, from an even byte offset to its end.

    It only watches: tie ``beat`` and ``stb`` to any packet stream. Pipelined, a beat a
    cycle; ``done`` rises 6 cycles after the last beat, and packets may follow each other
    at once. RFC 1071.

    Members
    -------
    beat : In(Beat)
        The packet's beat.
    stb : In(1)
        It is transferred in this cycle.
    start : In(14)
        Offset of the first byte summed, even; valid with every beat.
    done : Out(1)
        High for one cycle: ``sum`` is that of a whole packet.
    sum : Out(16)
        The sum, not complemented, most significant byte first on the wire.
    """

    beat: In(Beat)
    stb: In(1)
    start: In(14)
    done: Out(1)
    sum: Out(16)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        words = BEAT_BYTES // 2

        # 1: let only the bytes pass that count.
        position = Signal(11)
        begun = Signal()
        here = Signal()
        begin = self.start[1:3]
        masked = [Signal(16, name=f"word_{n}") for n in range(words)]
        m.d.comb += here.eq(position == self.start[3:])
        with m.If(self.stb):
            m.d.sync += [position.eq(position + 1), begun.eq(begun | here)]
            with m.If(self.beat.last):
                m.d.sync += [position.eq(0), begun.eq(0)]
        for n, word in enumerate(masked):
            counts = Signal(name=f"counts_{n}")
            m.d.comb += counts.eq(begun | (here & (n >= begin)))
            for byte in range(2):
                lane = 2 * n + byte
                present = counts & (self.beat.empty < BEAT_BYTES - lane)
                octet = word.word_select(byte, 8)
                # Written like this it becomes a flip-flop's reset, and costs nothing a bit.
                with m.If(present):
                    m.d.sync += octet.eq(self.beat.data.word_select(lane, 8))
                with m.Else():
                    m.d.sync += octet.eq(0)
        # 2 and 3: add the words of the beat. The order of bytes does not matter to the sum.
        pairs = [Signal(17, name=f"pair_{n}") for n in range(2)]
        beat_sum = Signal(18)
        m.d.sync += [
            pairs[0].eq(masked[0] + masked[1]),
            pairs[1].eq(masked[2] + masked[3]),
            beat_sum.eq(pairs[0] + pairs[1]),
        ]
        # 4: add up beats, with room for the carries of the longest packet.
        strobes = [self.stb, *(Signal(name=f"stb_{n}") for n in range(1, 4))]
        lasts = [self.beat.last & self.stb, *(Signal(name=f"last_{n}") for n in range(1, 7))]
        m.d.sync += [after.eq(before) for before, after in pairwise(strobes)]
        m.d.sync += [after.eq(before) for before, after in pairwise(lasts)]
        total = Signal(16 + 13)
        with m.If(strobes[3]):
            m.d.sync += total.eq(Mux(lasts[4], 0, total) + beat_sum)
        with m.Elif(lasts[4]):
            m.d.sync += total.eq(0)
        # 5 and 6: add the carries, which may carry once more.
        folded = Signal(17)
        m.d.sync += folded.eq(total[:16] + total[16:])
        little = Signal(16)
        m.d.sync += little.eq(folded[:16] + folded[16])
        m.d.comb += [self.sum.eq(Cat(little[8:], little[:8])), self.done.eq(lasts[6])]
        return m
