"""The one hash engine, shared: software, the key store and the measurements take turns."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr
from niter.stream import Fifo

from .sha512 import Sha512

__all__ = ["Digest", "HashPort", "HashRegisters", "HashShare", "HashWord"]


class HashWord(data.Struct):
    """Up to four bytes of a message.

    Members
    -------
    data : 32 bits
        Byte lanes, lane 0 (bits 7:0) first.
    tail : 2 bits
        How many of them count in the last word. In every other all four do.
    last : 1 bit
        The message ends here.
    long : 1 bit
        SHA-512 is wanted, otherwise SHA-384; the same on every word of a message.
    """

    data: 32
    tail: 2
    last: 1
    long: 1


class Digest(data.Struct):
    """Four bytes of a digest, lane 0 (bits 7:0) first; ``last`` with the last four."""

    data: 32
    last: 1


#: What software may write ahead of the engine, in LUT-RAM. The engine stops for 75 cycles in each
#: block, in which software writes a dozen.
_QUEUE_WORDS = 16

#: One user of the engine, seen from that user. ``free`` tells that nobody has it.
HashPort = wiring.Signature(
    {
        "word": Out(stream.Signature(HashWord)),
        "digest": In(stream.Signature(Digest)),
        "free": In(1),
    }
)


class HashShare(wiring.Component):
    """Gives the hash engine to one user at a time, from its first word to its last of the digest.

    The lowest number is served first. Granting takes a cycle; then a word a cycle.

    Parameters
    ----------
    users
        How many there are.

    Members
    -------
    user_<n> : In(HashPort)
        Their ports.
    """

    def __init__(self, users: int):
        self.users = users
        super().__init__({f"user_{number}": In(HashPort) for number in range(users)})

    @property
    def ports(self) -> list:
        """The users' ports, in order."""
        return [getattr(self, f"user_{number}") for number in range(self.users)]

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.engine = engine = Sha512()
        busy = Signal()
        owner = Signal(max(1, ceil_log2(self.users)))
        with m.If(~busy):
            for number, port in reversed(list(enumerate(self.ports))):
                with m.If(port.word.valid):
                    m.d.sync += [owner.eq(number), busy.eq(1)]

        # Two words make a piece; the last may be alone.
        word = HashWord(Signal(HashWord))
        valid, ready = Signal(), Signal()
        half = Signal()
        low = Signal(32)
        digest_ready = Signal()
        with m.Switch(owner):
            for number, port in enumerate(self.ports):
                with m.Case(number):
                    m.d.comb += [
                        word.eq(port.word.payload),
                        valid.eq(port.word.valid & busy),
                        port.word.ready.eq(ready & busy),
                        digest_ready.eq(port.digest.ready),
                        port.digest.valid.eq(engine.o.valid & busy),
                    ]
        piece = engine.i.payload
        m.d.comb += [
            engine.i.valid.eq(valid & (half | word.last)),
            piece.data.eq(Cat(Mux(half, low, word.data), word.data)),
            piece.bytes.eq(Mux(word.last, Cat(word.tail, half), 8)),
            piece.last.eq(word.last),
            piece.long.eq(word.long),
            ready.eq(engine.i.ready | ~(half | word.last)),
        ]
        with m.If(valid & ready):
            m.d.sync += [half.eq(~half & ~word.last), low.eq(word.data)]

        upper = Signal()
        last = engine.o.payload.last & upper
        taken = engine.o.valid & digest_ready & busy
        m.d.comb += engine.o.ready.eq(digest_ready & busy & upper)
        for port in self.ports:
            m.d.comb += [
                port.free.eq(~busy),
                port.digest.payload.data.eq(engine.o.payload.data.word_select(upper, 32)),
                port.digest.payload.last.eq(last),
            ]
        with m.If(taken):
            m.d.sync += upper.eq(~upper)
            with m.If(last):
                m.d.sync += busy.eq(0)
        return m


class _Control(csr.Register, access="rw"):
    """Chooses the algorithm of the next message, and forgets an error."""

    long: csr.Field(csr.action.RW, 1, doc="SHA-512 instead of SHA-384.")


class _Data(csr.Register, access="w"):
    """Four bytes of the message, the first in bits 7:0. Never write more of them than ``room``."""

    data: csr.Field(csr.action.W, 32)


class _Finish(csr.Register, access="w"):
    """Ends the message, with up to three bytes more. It takes room for a word, too."""

    tail: csr.Field(csr.action.W, 24, doc="These bytes, the first in bits 7:0.")
    bytes: csr.Field(csr.action.W, 2, doc="How many of them count.")


class _Status(csr.Register, access="r"):
    """What the engine does."""

    room: csr.Field(csr.action.R, 5, doc="Words that can be written without looking again.")
    done: csr.Field(csr.action.R, 1, doc="The digest can be read.")
    error: csr.Field(csr.action.R, 1, doc="A word was lost: there will be no digest.")


class _DigestWord(csr.Register, access="r"):
    """The next four bytes of the digest, the first in bits 7:0; zero unless ``done``.

    All 12 words (16 for SHA-512) must be read: until then the engine is not free.
    """

    data: csr.Field(csr.action.R, 32)


class HashRegisters(wiring.Component):
    """Software's access to the hash engine.

    Write a message to ``data`` in words, end it with ``finish``, wait for ``done``, read
    ``digest`` word by word. A queue of 16 words stands before the engine. A word that finds it
    full, or comes between ``finish`` and the digest's last word, is lost: the message then still
    has to be finished, gives no digest, and ``error`` stays until ``control`` is written.

    Members
    -------
    hash : Out(HashPort)
        The engine.
    bus : In(csr.Signature)
        The registers.
    """

    def __init__(self):
        registers = csr.Builder(addr_width=3)
        self._control = registers.add("control", _Control())
        self._data = registers.add("data", _Data())
        self._finish = registers.add("finish", _Finish())
        self._status = registers.add("status", _Status())
        self._digest = registers.add("digest", _DigestWord())
        self._bridge = csr.Bridge(registers.as_memory_map())
        super().__init__(
            {"hash": Out(HashPort), "bus": In(csr.Signature(addr_width=3))},
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        wiring.connect(m, wiring.flipped(self.bus), self._bridge.bus)
        word, digest = self.hash.word, self.hash.digest
        m.submodules.queue = queue = Fifo(HashWord, _QUEUE_WORDS)
        wiring.connect(m, queue.o, wiring.flipped(self.hash.word))
        word, digest = queue.i.payload, self.hash.digest
        error = Signal()
        finished = Signal()
        put = self._data.f.data.w_stb
        end = self._finish.f.bytes.w_stb
        m.d.comb += [
            queue.i.valid.eq((put | end) & ~finished),
            word.data.eq(Mux(end, self._finish.f.tail.w_data, self._data.f.data.w_data)),
            word.tail.eq(self._finish.f.bytes.w_data),
            word.last.eq(end),
            # The engine looks at the first word's only.
            word.long.eq(self._control.f.long.data),
        ]
        with m.If(self._control.w_stb & ~finished):
            m.d.sync += error.eq(0)
        with m.If(put | end):
            m.d.sync += error.eq(error | finished | ~queue.i.ready)
            m.d.sync += finished.eq(finished | (end & queue.i.ready))

        done = Signal()
        m.d.comb += [
            done.eq(digest.valid & ~error),
            digest.ready.eq(self._digest.r_stb | error),
            self._digest.f.data.r_data.eq(digest.payload.data & done.replicate(32)),
            self._status.f.room.r_data.eq(
                Mux(finished | (queue.level > _QUEUE_WORDS), 0, _QUEUE_WORDS - queue.level)
            ),
            self._status.f.done.r_data.eq(done),
            self._status.f.error.r_data.eq(error),
        ]
        with m.If(digest.valid & digest.ready & digest.payload.last):
            m.d.sync += finished.eq(0)
        return m
