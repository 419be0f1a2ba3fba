"""Waiting requests in a memory, by tag, and in a list for each volume."""

from typing import Any

from amaranth import C, Cat, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.utils import ceil_log2

from niter.ram import Ram

__all__ = ["BY_REQUESTS", "BY_SECTORS", "WORD_BITS", "Keeping"]

#: Of a word in EBR.
WORD_BITS = 36

# Words beside a waiting request: three of its own, and the tag of the one behind it.
_LBA, _REST, _SECTORS, _NEXT = range(4)
# Words beside a volume, behind those of its rates: its two times, and the ends of its list.
BY_REQUESTS, BY_SECTORS, _ENDS = range(4, 7)


class Keeping:
    """All that is kept stands in one memory: requests in its lower half, what belongs to volumes in
    the upper. It is read and written a word a cycle; control's words come first, and a state that
    writes waits for them.

    ``KEEP`` puts the request in hand behind the others of its volume; ``HEAD`` takes the first one
    in hand and goes on to ``OFFER``; ``FIND`` looks for a tag, takes its request out of its list
    and goes on to ``ACKNOWLEDGE``, or to ``PASS ABORT`` if it does not wait.

    Parameters
    ----------
    m
        The stage's module.
    tags
        Places for requests, a power of two from 2 to 256.
    request, volume
        What is in hand.
    """

    def __init__(self, m: Module, tags: int, request: data.View, volume: Signal):
        self._m = m
        self._request, self._volume = request, volume
        m.submodules.words = words = Ram(
            shape=WORD_BITS, depth=2 << max(ceil_log2(tags) + 2, 7), init=[]
        )
        self._read, self._write = words.read_port(), words.write_port()
        self._upper = words.depth // 2
        #: What was read in the last cycle.
        self.word = self._read.data
        #: Control writes.
        self.busy = Signal()
        # A walk along a list: the tag in hand, the one before it, and whether there is none.
        self._tag, self._before = Signal(range(tags)), Signal(range(tags))
        self._first = Signal()
        # The ends of the volume's list, and those of the request's tag's bits that count.
        self._head, self._tail = Signal.like(self._tag), Signal.like(self._tag)
        self._own = request.tag[: len(self._tag)]
        self._ends = Cat(self._head, C(0, 8 - len(self._head)), self._tail)
        #: Volumes with waiting requests, and the volume in hand among them.
        self.waiting = Signal(1 << len(volume))
        self.waits = self.waiting.bit_select(volume, 1)
        self._rest = Cat(request.lba[32:], request.opcode, request.fua, request.volume)

    def go(self, state: str) -> None:
        """Go on to a state when what this one writes is written."""
        with self._m.If(~self.busy):
            self._m.next = state

    def read_volume(self, word: int) -> None:
        """Read a word of the volume in hand."""
        self._m.d.comb += self._read.addr.eq(Cat(C(word, 3), self._volume) | self._upper)

    def write_volume(self, word: int, value: Any, en: Any = 1) -> None:
        """Write it."""
        self._m.d.comb += [
            self._write.addr.eq(Cat(C(word, 3), self._volume) | self._upper),
            self._write.data.eq(value),
            self._write.en.eq(en),
        ]

    def _read_request(self, word: int, tag: Value) -> None:
        self._m.d.comb += self._read.addr.eq(Cat(C(word, 2), tag))

    def _write_request(self, word: int, tag: Value, value: Value, en: Any = 1) -> None:
        self._m.d.comb += [
            self._write.addr.eq(Cat(C(word, 2), tag)),
            self._write.data.eq(value),
            self._write.en.eq(en),
        ]

    def clear(self) -> None:
        """In a state of its own: after a reset time begins again, and what stood here would lie
        ahead of it. Goes on to ``IDLE``."""
        m, volume = self._m, self._volume
        second = self._first
        self.write_volume(BY_REQUESTS, 0)
        m.d.comb += self._write.addr[0].eq(second)
        with m.If(~self.busy):
            m.d.sync += [second.eq(~second), volume.eq(volume + second)]
            with m.If(second & volume.all()):
                m.next = "IDLE"

    def states_of_keeping(self, aborting: Value) -> None:
        """From ``KEEP`` on; with ``aborting``, the last ones are of ``FIND``."""
        m, own = self._m, self._own
        with m.State("KEEP"):
            self._write_request(_LBA, own, self._request.lba[:32])
            self.read_volume(_ENDS)
            self.go("KEEP REST")
        with m.State("KEEP REST"):
            self._write_request(_REST, own, self._rest)
            self.read_volume(_ENDS)
            m.d.sync += [
                self._head.eq(self.word),
                self._before.eq(self.word[8:]),
                self._tail.eq(own),
            ]
            with m.If(~self.waits):
                m.d.sync += self._head.eq(own)
            self.go("KEEP SECTORS")
        with m.State("KEEP SECTORS"):
            self._write_request(_SECTORS, own, self._request.sectors)
            self.go("ENDS")
        with m.State("ENDS"):
            self.write_volume(_ENDS, self._ends)
            self.go("LINK")
            with m.If(aborting):
                self.go("ACKNOWLEDGE")
        with m.State("LINK"):
            self._write_request(_NEXT, self._before, self._tail, self.waits)
            with m.If(~self.busy):
                m.d.sync += self.waits.eq(1)
            self.go("IDLE")
            with m.If(aborting):
                self.go("ACKNOWLEDGE")

    def states_of_taking(self) -> None:
        """From ``HEAD`` to in front of ``OFFER``."""
        m, own, word = self._m, self._own, self.word
        with m.State("HEAD"):
            m.d.sync += [self._request.tag.eq(word[:8]), self._tail.eq(word[8:])]
            m.next = "LBA"
        with m.State("LBA"):
            self._read_request(_LBA, own)
            m.next = "REST"
        with m.State("REST"):
            self._read_request(_REST, own)
            m.d.sync += self._request.lba[:32].eq(word)
            m.next = "LENGTH"
        with m.State("LENGTH"):
            self._read_request(_SECTORS, own)
            m.d.sync += self._rest.eq(word)
            m.next = "LINKS"
        with m.State("LINKS"):
            self._read_request(_NEXT, own)
            m.d.sync += self._request.sectors.eq(word)
            m.next = "OFFER"

    def read_ends(self) -> None:
        """In front of ``HEAD``: read the ends of the volume's list."""
        self.read_volume(_ENDS)

    def offered(self) -> None:
        """In ``OFFER``: remember the request behind the one in hand."""
        self._read_request(_NEXT, self._own)
        self._m.d.sync += self._head.eq(self.word)

    def leave(self, kept: Value) -> None:
        """In a state that waits for control: what was offered leaves its list, if ``kept``."""
        self.write_volume(_ENDS, self._ends, kept)
        with self._m.If(kept & (self._tail == self._own)):
            self._m.d.sync += self.waits.eq(0)

    def states_of_finding(self) -> None:
        """From ``FIND`` on."""
        m, word, tag = self._m, self.word, self._tag
        with m.State("FIND"):
            # Of a tag that does not wait here this is what stood there once: a volume still.
            self._read_request(_REST, self._own)
            m.d.sync += self._first.eq(1)
            m.next = "FIND VOLUME"
        with m.State("FIND VOLUME"):
            m.d.sync += self._volume.eq(word[28:32])
            m.next = "FIND ENDS"
        with m.State("FIND ENDS"):
            self.read_volume(_ENDS)
            m.next = "SEEK FIRST"
        with m.State("SEEK FIRST"):
            m.d.sync += [tag.eq(word), self._head.eq(word), self._tail.eq(word[8:])]
            m.next = "SEEK"
            with m.If(~self.waits):
                m.next = "PASS ABORT"
        with m.State("SEEK"):
            self._read_request(_NEXT, tag)
            m.next = "SEEK NEXT"
            with m.If(tag == self._own):
                m.next = "UNLINK"
        with m.State("SEEK NEXT"):
            m.d.sync += [self._before.eq(tag), tag.eq(word), self._first.eq(0)]
            m.next = "SEEK"
            with m.If(self._tail == tag):
                m.next = "PASS ABORT"
        with m.State("UNLINK"):
            # In the middle of a list what is behind it is linked as a tail is.
            m.d.sync += self._tail.eq(word)
            m.next = "LINK"
            last = self._tail == tag
            with m.If(last):
                m.d.sync += self._tail.eq(self._before)
                m.next = "ENDS"
            with m.If(self._first):
                m.d.sync += [self._head.eq(word), self._tail.eq(self._tail)]
                m.next = "ENDS"
                with m.If(last):
                    m.d.sync += self.waits.eq(0)

    def control(self, bus: wiring.PureInterface) -> None:
        """The last statements: a word of the rate table, at any time."""
        m = self._m
        m.d.comb += self.busy.eq(bus.w_stb)
        with m.If(bus.w_stb):
            m.d.comb += [
                self._write.addr.eq(Cat(bus.addr[:2], C(0, 1), bus.addr[2:]) | self._upper),
                self._write.data.eq(bus.w_data),
                self._write.en.eq(1),
            ]
