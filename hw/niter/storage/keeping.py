"""Waiting requests in a memory, by tag, and in a list for each volume."""

from typing import Any

from amaranth import Array, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring

from niter.ram import Ram

__all__ = ["BY_REQUESTS", "BY_SECTORS", "WORD_BITS", "Keeping"]

#: Of a word in EBR.
WORD_BITS = 36

# Words of a request: three of its own, and the tag of the one behind it.
_LBA, _REST, _SECTORS, _NEXT = range(4)
# Words of a volume, behind those of its rates: its two times, and the ends of its list.
BY_REQUESTS, BY_SECTORS, _ENDS = range(4, 7)


class Keeping:
    """Requests stand in one memory, what belongs to volumes in another; each is read and written a
    word a cycle. Control's words of volumes come first, and a state that writes one waits for them.

    ``FIRST`` has the tag of a volume's first request in hand on the way to ``BURST``; from there on
    the accounts' states take its words, or what stands at the input, in hand. ``JOIN`` puts the
    request in hand behind the others of its volume. ``FIND`` looks for a tag, takes its request out
    of its list if it waits, and goes on to ``PASS ABORT``.

    Parameters
    ----------
    m
        The stage's module.
    tags
        Places for requests, a power of two from 2 to 256.
    request
        What is in hand, without its tag.
    tag, volume
        Its tag, and the volume in hand.
    """

    def __init__(self, m: Module, tags: int, request: data.View, tag: Signal, volume: Signal):
        self._m = m
        self._request, self._tag, self._volume = request, tag, volume
        m.submodules.requests = requests = Ram(shape=WORD_BITS, depth=4 * tags, init=[])
        m.submodules.volumes = volumes = Ram(shape=WORD_BITS, depth=128, init=[])
        self._read, self._write = requests.read_port(), requests.write_port()
        self._look, self._change = volumes.read_port(), volumes.write_port()
        #: What was read of a volume in the last cycle, and the time that is written.
        self.word = self._look.data
        self.time = Signal(WORD_BITS)
        #: Control writes.
        self.busy = Signal()
        # A walk along a list: the request it has come to, the one before it, and whether there is
        # none; that the one in hand is neither the first nor the last, and that one is linked.
        self._walk, self._before = Signal(range(tags)), Signal(range(tags))
        self._first, self._inside, self._linked = Signal(), Signal(), Signal()
        # The ends of the volume's list; its last one also is what is linked to the one before it.
        self._head, self._tail = Signal.like(self._tag), Signal.like(self._tag)
        self._ends = Cat(self._head, C(0, 8 - len(self._head)), self._tail)
        # Which volumes have waiting requests, and whether the one in hand has; in ``IDLE``, the one
        # whose turn is next.
        m.submodules.waiting = waiting = memory.Memory(shape=1, depth=1 << len(volume), init=[])
        self._waits, self._marks = waiting.read_port(domain="comb"), waiting.write_port()
        self._next = Signal.like(volume)
        #: Some may have: since turns began with volume 0, or when they did the last time.
        self.any, self._found = Signal(), Signal()
        m.d.comb += [
            self._change.data.eq(self.time),
            self._waits.addr.eq(volume),
            self._marks.addr.eq(volume),
            self._read.addr.eq(Cat(C(_LBA, 2), tag)),
            self._write.addr.eq(Cat(C(_LBA, 2), tag)),
        ]

    def go(self, state: str) -> None:
        """Go on to a state when what this one writes is written."""
        with self._m.If(~self.busy):
            self._m.next = state

    def read_volume(self, word: int) -> None:
        """Read a word of the volume in hand."""
        self._m.d.comb += self._look.addr.eq(Cat(C(word, 3), self._volume))

    def write_volume(self, word: int, en: Any = 1) -> None:
        """Write it: a time, or what ``_write_ends`` says."""
        self._m.d.comb += [
            self._change.addr.eq(Cat(C(word, 3), self._volume)),
            self._change.en.eq(en),
        ]

    def _write_ends(self, en: Value) -> None:
        self.write_volume(_ENDS, en)
        self._m.d.comb += self._change.data[: len(self._ends)].eq(self._ends)

    def _rest(self, request: data.View) -> Value:
        return Cat(request.lba[32:], request.opcode, request.fua, request.volume)

    def _mark(self, waits: int, en: Any = 1) -> None:
        """The volume in hand has waiting requests, or has none any more."""
        self._m.d.comb += [self._marks.data.eq(waits), self._marks.en.eq(en)]
        if waits:
            self._m.d.sync += [self.any.eq(1), self._found.eq(1)]

    def clear(self) -> None:
        """In a state of its own: after a reset time begins again, and what stood here would lie
        ahead of it. ``time`` is zero. Goes on to ``IDLE``."""
        m, volume = self._m, self._volume
        second = self._first
        self.write_volume(BY_REQUESTS)
        m.d.comb += self._change.addr[0].eq(second)
        self._mark(0)
        with m.If(~self.busy):
            m.d.sync += [second.eq(~second), volume.eq(volume + second)]
            with m.If(second & volume.all()):
                m.next = "IDLE"

    def look(self) -> None:
        """In ``IDLE``: whether it is a volume's turn is seen before anything else."""
        self._m.d.comb += self._waits.addr.eq(self._next)

    def turn(self) -> None:
        """The turn of the next volume; to ``FIRST`` if it has any use for that."""
        m = self._m
        m.d.sync += [self._next.eq(self._next + 1), self._volume.eq(self._next)]
        with m.If(self._next.all()):
            m.d.sync += [self.any.eq(self._found | self._waits.data), self._found.eq(0)]
        with m.Elif(self._waits.data):
            m.d.sync += self._found.eq(1)
        with m.If(self._waits.data):
            m.next = "FIRST"

    def states_of_turns(self) -> None:
        """From ``FIRST`` to in front of ``BURST``."""
        m = self._m
        with m.State("FIRST"):
            self.read_volume(_ENDS)
            m.next = "HEAD"
        with m.State("HEAD"):
            m.d.sync += [self._tag.eq(self.word), self._tail.eq(self.word[8:])]
            m.next = "BURST"

    def take(self, taken: data.View) -> None:
        """What is written of requests: a word of what is ``taken``, or a tag."""
        lba, rest = taken.lba[:32], self._rest(taken)
        word, short = self._write.addr[:2], len(taken.sectors)
        lower = Array((lba[:short], rest[:short], taken.sectors, self._tail))[word]
        # Of the last two words nobody looks at more.
        upper = Mux(word[0], rest[short:], lba[short:])
        self._m.d.comb += self._write.data.eq(Cat(lower[:short], upper))

    def copy(self, step: int, en: Value) -> None:
        """In five states, one after the other: what is taken is written with ``en``, and the words
        of the request are taken in hand, each two cycles after it was written."""
        m, request = self._m, self._request
        if step < _NEXT:
            m.d.comb += [self._write.addr[:2].eq(step), self._write.en.eq(en)]
        if step:
            m.d.comb += self._read.addr[:2].eq(step - 1)
        if step >= 2:
            target = (request.lba[:32], self._rest(request), request.sectors)[step - 2]
            m.d.sync += target.eq(self._read.data)

    def read_ends(self) -> None:
        """In front of ``JOIN``: read the ends of the volume's list."""
        self.read_volume(_ENDS)

    def offered(self) -> None:
        """In ``OFFER``, behind the last step of copying: remember the request behind the one in
        hand."""
        self._m.d.comb += self._read.addr[:2].eq(_NEXT)
        self._m.d.sync += self._head.eq(self._read.data)

    def leave(self, kept: Value) -> None:
        """In a state that waits for control: what was offered leaves its list, if ``kept``."""
        self._write_ends(kept)
        self._mark(0, kept & (self._tail == self._tag))

    def states_of_joining(self, aborting: Value) -> None:
        """From ``JOIN`` to ``IDLE``; with ``aborting``, the last one is of ``FIND``."""
        m, tag = self._m, self._tag
        with m.State("JOIN"):
            m.d.sync += [
                self._head.eq(self.word),
                self._before.eq(self.word[8:]),
                self._tail.eq(tag),
                self._linked.eq(self._waits.data),
                self._inside.eq(0),
            ]
            with m.If(~self._waits.data):
                m.d.sync += self._head.eq(tag)
            self._mark(1)
            m.next = "ENDS"
        with m.State("ENDS"):
            self._write_ends(~self._inside)
            m.d.comb += [
                self._write.addr.eq(Cat(C(_NEXT, 2), self._before)),
                self._write.en.eq(self._linked),
            ]
            self.go("IDLE")
            with m.If(aborting):
                self.go("PASS ABORT")

    def states_of_finding(self) -> None:
        """From ``FIND`` on."""
        m, tag, walk, word = self._m, self._tag, self._walk, self._read.data
        linked_to = Cat(C(_NEXT, 2), walk)
        last = self._tail == walk
        with m.State("FIND"):
            # Of a tag that does not wait here this is what stood there once: a volume still.
            m.d.comb += self._read.addr[:2].eq(_REST)
            m.d.sync += self._first.eq(1)
            m.next = "FIND VOLUME"
        with m.State("FIND VOLUME"):
            m.d.sync += self._volume.eq(word[28:32])
            m.next = "FIND ENDS"
        with m.State("FIND ENDS"):
            self.read_volume(_ENDS)
            m.next = "SEEK FIRST"
        with m.State("SEEK FIRST"):
            ends = self.word
            m.d.sync += [walk.eq(ends), self._head.eq(ends), self._tail.eq(ends[8:])]
            m.next = "SEEK"
            with m.If(~self._waits.data):
                m.next = "PASS ABORT"
        with m.State("SEEK"):
            m.d.comb += self._read.addr.eq(linked_to)
            m.next = "SEEK NEXT"
            with m.If(walk == tag):
                m.next = "UNLINK"
        with m.State("SEEK NEXT"):
            m.d.sync += [self._before.eq(walk), walk.eq(word), self._first.eq(0)]
            m.next = "SEEK"
            with m.If(last):
                m.next = "PASS ABORT"
        with m.State("UNLINK"):
            # In the middle of a list what is behind it is linked as a tail is.
            inside = ~self._first & ~last
            m.d.sync += [self._inside.eq(inside), self._linked.eq(inside)]
            with m.If(self._first):
                m.d.sync += self._head.eq(word)
                self._mark(0, last)
            with m.Elif(last):
                m.d.sync += self._tail.eq(self._before)
            with m.Else():
                m.d.sync += self._tail.eq(word)
            m.next = "ENDS"

    def control(self, bus: wiring.PureInterface) -> None:
        """The last statements: a word of the rate table, at any time."""
        m = self._m
        m.d.comb += self.busy.eq(bus.w_stb)
        with m.If(bus.w_stb):
            m.d.comb += [
                self._change.addr.eq(Cat(bus.addr[:2], C(0, 1), bus.addr[2:])),
                self._change.data.eq(bus.w_data),
                self._change.en.eq(1),
            ]
