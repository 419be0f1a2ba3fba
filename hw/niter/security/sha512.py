"""SHA-384 and SHA-512, one round a clock."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .sha512_constants import INITIAL_384, INITIAL_512, ROUND

__all__ = ["BlockWord", "DigestWord", "Sha512"]

#: Place of the chaining value in the block RAM, behind the constants: its last word first.
_CHAIN = 80

#: The steps of a block: sixteen take words in, 80 is the first to add the chaining value, and
#: the last only writes.
_LAST_STEP = 90


class BlockWord(data.Struct):
    """Eight bytes of a message, lane 0 (bits 7:0) first; ``last`` ends its last block."""

    data: 64
    last: 1


class DigestWord(data.Struct):
    """Eight bytes of a digest, lane 0 (bits 7:0) first; ``last`` with the last eight."""

    data: 64
    last: 1


def _rotate(word, *amounts, shift=None):
    turned = [word.rotate_right(amount) for amount in amounts]
    if shift is not None:
        turned.append(word >> shift)
    result = turned[0]
    for each in turned[1:]:
        result = result ^ each
    return result[:64]


def _swapped(word):
    """Between bytes in lanes and a word as the standard counts its bits: first byte on top."""
    return Cat(word.word_select(7 - lane, 8) for lane in range(8))


class Sha512(wiring.Component):
    """Hashes messages of whole blocks with SHA-384 or SHA-512 (FIPS 180-4, 6.4 and 6.5).

    Padding (5.1.2) is for those who give the messages. A block takes 91 cycles from its first word,
    a message 12 more; the digest follows the last block by a cycle, a word a cycle. A word that
    comes late only makes it wait.

    Round constants, initial values and the chaining value share one block RAM, with one read a
    cycle. At the end of a block its chaining value is added by seven turns of the working
    variables through the adder that otherwise adds constant and word; the eighth happens when
    the next block begins. A new message does the same on variables that are zero, and adds an
    initial value: there is no other way to load them, and no multiplexer for it.

    Members
    -------
    open : In(1)
        High from before a message's first word to the last of its digest, and low for a cycle or
        more between messages. A message whose ``open`` falls before is forgotten.
    long : In(1)
        SHA-512, otherwise SHA-384; holds while ``open``.
    i : In(stream.Signature(BlockWord))
        Blocks of sixteen words. None is taken before the engine has begun, for which it needs 12
        cycles, or while it works on a block.
    o : Out(stream.Signature(DigestWord))
        The digest of each message: six words, eight for SHA-512.
    """

    open: In(1)
    long: In(1)
    i: In(stream.Signature(BlockWord))
    o: Out(stream.Signature(DigestWord))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        image = [0] * 512
        image[: len(ROUND)] = ROUND
        for base, initial in ((128, INITIAL_384), (256, INITIAL_512)):
            image[base + _CHAIN : base + _CHAIN + 8] = reversed(initial)
        m.submodules.constants = storage = Ram(shape=64, depth=512, init=image)
        read, write = storage.read_port(), storage.write_port()

        word = self.i.payload
        count = Signal(7)
        next_count = Signal(7)
        step = Signal()
        # The message's initial value is being added, or has been.
        initialise = Signal()
        fresh = Signal()
        final = Signal()
        begin = Signal()
        answer = Signal()
        which = Signal(3)
        next_which = Signal(3)
        shown = Signal()

        m.d.comb += [
            begin.eq((count == 0) & self.open & ~fresh & ~answer),
            self.i.ready.eq((count < 16) & fresh),
            step.eq((count >= 16) | (self.i.valid & self.i.ready)),
            next_count.eq(count + step),
        ]
        with m.If(begin):
            m.d.comb += next_count.eq(_CHAIN)
            m.d.sync += [fresh.eq(1), initialise.eq(1)]
        with m.Elif(count == _LAST_STEP):
            m.d.comb += next_count.eq(0)
            m.d.sync += [initialise.eq(0), answer.eq(final), final.eq(0)]
        with m.If(self.i.valid & self.i.ready & word.last):
            m.d.sync += [final.eq(1), fresh.eq(0)]
        with m.If(~self.open & (count < 16)):
            m.d.comb += next_count.eq(0)
        m.d.sync += count.eq(next_count)

        # The message schedule: the word of step n enters at the end, and is zero from 80 on. The
        # sum of three of its terms is made in the two steps before, an adder in each.
        schedule = [Signal(64, name=f"w{index}") for index in range(16)]
        pair, ahead = Signal(64), Signal(64)
        entering = Signal(64)
        expanded = Signal(64)
        m.d.comb += [
            expanded.eq(ahead + _rotate(schedule[14], 19, 61, shift=6)),
            entering.eq(
                Mux(count < 16, _swapped(word.data), expanded) & (count < 80).replicate(64)
            ),
        ]
        constant = Signal(64)
        summed = Signal(64)
        with m.If(step):
            m.d.sync += [a.eq(b) for a, b in zip(schedule, [*schedule[1:], entering], strict=True)]
            m.d.sync += [
                pair.eq(schedule[2] + schedule[11]),
                ahead.eq(_rotate(schedule[2], 1, 8, shift=7) + pair),
                constant.eq(read.data),
                summed.eq(constant + schedule[15]),
            ]

        # ``added`` is h, constant and word in one: h has no register of its own.
        a, b, c, d, e, f, g = (Signal(64, name=name) for name in "abcdefg")
        added = Signal(64)
        turn = Signal()
        move = Signal()
        first_sum, second_sum = Signal(64), Signal(64)
        rounds = (~turn).replicate(64)
        # A flip-flop of its own: it gates every bit of the adders.
        m.d.sync += turn.eq((next_count == 2) | (next_count >= _CHAIN + 3))
        m.d.comb += [
            move.eq((count >= Mux(initialise, _CHAIN + 3, 2)) & (count < _LAST_STEP)),
            first_sum.eq(
                added + ((_rotate(e, 14, 18, 41) & rounds) + (((e & f) | (~e & g)) & rounds))[:64]
            ),
            second_sum.eq((_rotate(a, 28, 34, 39) & rounds) + (((a & b) | (c & (a | b))) & rounds)),
        ]
        with m.If(step & move):
            m.d.sync += [
                Cat(b, c, d, f, g).eq(Cat(a, b, c, e, f)),
                a.eq(first_sum + second_sum),
                e.eq(d + (first_sum & rounds)),
            ]
        with m.If(step & (count >= 2) & (count < _LAST_STEP)):
            m.d.sync += added.eq(g + summed)
        with m.If(begin):
            m.d.sync += [each.eq(0) for each in (a, b, c, d, e, f, g, added)]

        # Nothing but the chaining value is ever written.
        m.d.comb += [
            write.addr.eq(count - 3),
            write.data.eq(added),
            write.en.eq(count >= _CHAIN + 3),
            read.addr.eq(Cat(next_count, begin & ~self.long, begin & self.long)),
        ]
        with m.If(initialise & (count != _LAST_STEP)):
            m.d.comb += read.addr[7:].eq(Cat(~self.long, self.long))

        # The digest is read back from there.
        out = self.o.payload
        taken = Signal()
        m.d.comb += [
            self.o.valid.eq(shown),
            taken.eq(shown & self.o.ready),
            next_which.eq(which + taken),
            out.last.eq(which == Mux(self.long, 7, 5)),
            out.data.eq(_swapped(read.data)),
        ]
        with m.If(answer):
            m.d.comb += read.addr.eq(_CHAIN + 7 - next_which)
            m.d.sync += [which.eq(next_which), shown.eq(1)]
            with m.If(taken & out.last):
                m.d.sync += [which.eq(0), shown.eq(0), answer.eq(0)]
        # Steps that need no words go on to their end: nothing of them is seen.
        with m.If(~self.open):
            m.d.sync += [fresh.eq(0), final.eq(0), answer.eq(0), shown.eq(0), which.eq(0)]
        return m
