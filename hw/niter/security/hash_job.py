"""Hashes words of a memory and puts the digest back into it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .hashing import HashPort

__all__ = ["HashJob"]

_BLOCK_WORDS = 32


class HashJob(wiring.Component):
    """One message: an optional constant word, two sections of a memory, padding; then its digest.

    The owner translates ``section`` and ``index`` into addresses of its memory and keeps them
    as they are while ``busy``; nothing of a section changes before the digest comes. A word takes
    two cycles.

    Parameters
    ----------
    words
        Words of each section, and of the digest that is kept: at most its length.
    long
        SHA-512 instead of SHA-384.
    prefix
        Constant first word of the message, or None.

    Members
    -------
    start : In(1)
        Begin, if not ``busy``.
    busy : Out(1)
        From the cycle behind ``start`` to the last word of the digest.
    section, index : Out
        Which word of the memory is wanted.
    data : In(32)
        That word, a cycle later.
    take : In(1)
        Take words of the digest; high unless assigned.
    found : Out(1), store : Out(1)
        ``stored`` is word ``index`` of the digest; and it is taken: write it.
    stored : Out(32)
        What is written.
    hash : Out(HashPort)
        The engine.
    """

    def __init__(self, words: int, *, long: bool, prefix: int | None = None):
        self.words = words
        self.long = long
        self.prefix = prefix
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "section": Out(1),
                "index": Out(ceil_log2(words)),
                "data": In(32),
                "take": In(1, init=1),
                "found": Out(1),
                "store": Out(1),
                "stored": Out(32),
                "hash": Out(HashPort),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        word, digest = self.hash.word, self.hash.digest
        end = self.index == self.words - 1
        # FIPS 180-4, 5.1.2: a one bit, zeros, and the length, of which the last word is enough.
        length = 2 * self.words + (self.prefix is not None)
        padding = -length % _BLOCK_WORDS
        assert 5 <= padding <= 2 << len(self.index)
        padded = Cat(self.index, self.section)
        bits = int.from_bytes((32 * length).to_bytes(4, "big"), "little")
        pad, padding_now = Signal(32), Signal()
        with m.If(padded == 0):
            m.d.comb += pad.eq(0x80)
        with m.If(padded == padding - 1):
            m.d.comb += [pad.eq(bits), word.payload.last.eq(padding_now)]
        m.d.comb += [
            self.hash.long.eq(self.long),
            word.payload.data.eq(Mux(padding_now, pad, self.data)),
            self.stored.eq(digest.payload.data),
        ]
        with m.FSM() as fsm:
            m.d.comb += [self.busy.eq(~fsm.ongoing("Idle")), self.hash.claim.eq(self.busy)]
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [self.index.eq(0), self.section.eq(0)]
                m.next = "Read" if self.prefix is None else "Prefix"
            if self.prefix is not None:
                with m.State("Prefix"):
                    m.d.comb += [word.valid.eq(1), word.payload.data.eq(self.prefix)]
                    with m.If(word.ready):
                        m.next = "Read"
            with m.State("Read"):
                m.next = "Send"
            with m.State("Send"):
                m.d.comb += word.valid.eq(1)
                with m.If(word.ready):
                    m.d.sync += self.index.eq(Mux(end, 0, self.index + 1))
                    m.d.sync += self.section.eq(self.section ^ end)
                    m.next = "Read"
                    with m.If(self.section & end):
                        m.next = "Pad"
            with m.State("Pad"):
                m.d.comb += [word.valid.eq(1), padding_now.eq(1)]
                with m.If(word.ready):
                    m.d.sync += padded.eq(padded + 1)
                    with m.If(word.payload.last):
                        m.d.sync += padded.eq(0)
                        m.next = "Take"
            with m.State("Take"):
                m.d.comb += [
                    digest.ready.eq(self.take),
                    self.found.eq(digest.valid),
                    self.store.eq(self.found & self.take),
                ]
                with m.If(self.store):
                    m.d.sync += self.index.eq(Mux(end, 0, self.index + 1))
                    with m.If(digest.payload.last):
                        m.next = "Idle"
        return m
