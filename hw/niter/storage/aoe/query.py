"""Control's own words with a target: discovery, identity, reservation."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.ram import Ram

from .codec import QUERY

__all__ = ["Query", "Question"]

#: Words of an answer that are kept: a frame with one sector, and all of a short one.
_WORDS = 256


class Question(data.Struct):
    """A frame of control's: to whom, and which AoE command. Its words stand in ``Heads``."""

    target: 4
    command: 4


class Query(wiring.Component):
    """Sends a question to a target of the table, and keeps the first answer to it.

    Software writes the argument, which is what follows the AoE header, and then ``ask``; and not
    again before ``sent`` says that it may. Eight bytes are all that Config (read), Reserve (with
    up to one address) and an ATA command without data have. A record with broadcast address, shelf
    65535 and slot 255 asks all targets: discovery is to ask until nobody new answers.

    The answer is a frame from its first byte on, four bytes a word, the first lowest. It stays
    until the next question. Nothing is sent again here.

    Members
    -------
    question : Out(stream.Signature(Question))
        To the builder.
    listening : Out(1)
        An answer would be kept.
    tag : Out(24)
        Upper bits of the tag that it has.
    word, word_valid : In(32), In(1)
        A word of a frame; of any frame, until it is known whether it is the answer.
    restart : In(1)
        The next word is a frame's first.
    answered : In(1)
        What came since is the answer.
    head_en, head_word, head_data : Out
        A word of the question's for ``Heads``.
    csr : In(csr.Signature)
        ``registers``, ``argument`` and ``answer``.
    """

    class Ask(csr.Register, access="w"):
        """Sends a question; the answer to the last one is forgotten."""

        target: csr.Field(csr.action.W, 4, doc="Index into the target table.")
        command: csr.Field(csr.action.W, 4, doc="AoE command: 0 ATA, 1 Config, 3 Reserve.")
        tag: csr.Field(csr.action.W, 24, doc="Any number not used for a while.")

    class Status(csr.Register, access="r"):
        """How far the question has come."""

        sent: csr.Field(csr.action.R, 1, doc="It was sent.")
        answered: csr.Field(csr.action.R, 1, doc="The answer can be read.")
        words: csr.Field(csr.action.R, 8, doc="Words of the answer; its last may be padding.")

    def __init__(self):
        self._registers = {
            "ask": self.Ask(),
            "status": self.Status(),
        }
        builder = csr.Builder(addr_width=1)
        for name, register in self._registers.items():
            builder.add(name, register)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._window = csr.Signature(addr_width=8).create()
        self._window.memory_map = csr.MemoryMap(addr_width=8)
        self._window.memory_map.add_resource(
            csr.WordArray(_WORDS, "The answer's bytes.", access="r"), name="words", size=_WORDS
        )
        self._argument = csr.Signature(addr_width=1).create()
        self._argument.memory_map = csr.MemoryMap(addr_width=1)
        self._argument.memory_map.add_resource(
            csr.WordArray(2, "The argument's bytes, the first of each word highest."),
            name="words",
            size=2,
        )
        self._decoder = csr.decoder_of(
            {
                "answer": self._window,
                "registers": self._bridge.bus,
                "argument": self._argument,
            }
        )
        super().__init__(
            {
                "question": Out(stream.Signature(Question)),
                "listening": Out(1),
                "tag": Out(24),
                "word": In(32),
                "word_valid": In(1),
                "restart": In(1),
                "answered": In(1),
                "head_en": Out(1),
                "head_word": Out(2),
                "head_data": Out(32),
                "csr": In(csr.Signature(addr_width=9)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        m.submodules.kept = kept = Ram(shape=32, depth=_WORDS, init=[])
        # Nothing stands there unless it is asked for.
        read, write = kept.read_port(shown=self._window.r_stb), kept.write_port()
        ask = self._registers["ask"].f
        status = self._registers["status"].f
        question = self.question.payload
        asked, accepted = Signal(), Signal()
        at = Signal(range(_WORDS + 1))
        m.d.comb += [
            read.addr.eq(self._window.addr),
            self._window.r_data.eq(read.data),
            write.addr.eq(at),
            write.data.eq(self.word),
            write.en.eq(self.word_valid & self.listening & ~at[-1]),
            self.head_en.eq(self._argument.w_stb | accepted),
            # The tag's word, or one of the two behind it.
            self.head_word.eq(Mux(accepted, 0, self._argument.addr + 1)),
            self.head_data.eq(self._argument.w_data),
            status.sent.r_data.eq(asked & ~self.question.valid),
            status.answered.r_data.eq(asked & ~self.listening),
            status.words.r_data.eq(at),
        ]
        with m.If(accepted):
            m.d.comb += self.head_data[:8].eq(QUERY)
        m.d.sync += at.eq(at + write.en)
        with m.If(self.restart & self.listening):
            m.d.sync += at.eq(0)
        with m.If(self.answered):
            m.d.sync += self.listening.eq(0)
        with m.If(self.question.ready):
            m.d.sync += self.question.valid.eq(0)
        # What is on offer is not changed.
        m.d.comb += accepted.eq(ask.target.w_stb & ~self.question.valid)
        with m.If(accepted):
            m.d.sync += [
                asked.eq(1),
                at.eq(0),
                self.listening.eq(1),
                self.question.valid.eq(1),
                question.target.eq(ask.target.w_data),
                question.command.eq(ask.command.w_data),
                self.tag.eq(ask.tag.w_data),
            ]
        return m
