"""Frames from the wire that ask the card itself, not a tenant."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["QUESTION_WORDS", "QuestionWord", "Questions"]

#: Words in which all stands that an answer needs, with and without IPv6: a neighbour solicitation,
#: an ARP request. The first has two bytes of nothing in front.
QUESTION_WORDS = {False: 11, True: 20}


class QuestionWord(data.Struct):
    """A word of a question, for the dissector; the port that it came by; and whether it is the
    last one."""

    word: 32
    port: 2
    last: 1


class Questions(wiring.Component):
    """Keeps the first words of a frame that asks something, until the transmit pipeline has time.

    Words of every frame pass through a row of registers. Those of a question stay there, and
    what comes meanwhile goes by.

    Parameters
    ----------
    words
        How many are kept.

    Members
    -------
    first, stb, word : In(1), In(1), In(32)
        The next word of a frame, and whether it is its first.
    keep, port : In(1), In(2)
        The frame's first ``words`` were a question, and it came by this port. Not with ``stb``.
    o : Out(stream.Signature(QuestionWord))
        A question, word by word.
    """

    first: In(1)
    stb: In(1)
    word: In(32)
    keep: In(1)
    port: In(2)
    o: Out(stream.Signature(QuestionWord))

    def __init__(self, words: int):
        self.words = words
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        row = Signal(32 * self.words)
        place = Signal(range(self.words))
        # One whose beginning went by is not complete.
        whole = Signal()
        moves = Signal()
        m.d.comb += [
            self.o.payload.word.eq(row[-32:]),
            self.o.payload.last.eq(place == self.words - 1),
            moves.eq(self.stb),
        ]
        with m.If(self.stb & self.first):
            m.d.sync += whole.eq(~self.o.valid)
        with m.If(self.o.valid):
            m.d.comb += moves.eq(self.o.ready)
        with m.If(moves):
            m.d.sync += row.eq(Cat(self.word, row))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += place.eq(place + 1)
            with m.If(self.o.payload.last):
                m.d.sync += [self.o.valid.eq(0), place.eq(0)]
        with m.If(self.keep & whole):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.port.eq(self.port)]
        return m
