"""The one hash engine, shared: software, the key store and the measurements take turns."""

from amaranth import Cat, Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.utils import ceil_log2

from niter import csr
from niter.stream import HalfBuffer

from .sha512 import BlockWord, DigestWord, Sha512

__all__ = ["Digest", "HashPort", "HashRegisters", "HashShare", "HashWord"]


class HashWord(data.Struct):
    """Four bytes of a message of whole blocks; ``last`` with its last four.

    Members
    -------
    data : 32 bits
        Byte lanes, lane 0 (bits 7:0) first.
    last : 1 bit
        The message ends here.
    """

    data: 32
    last: 1


class Digest(data.Struct):
    """Four bytes of a digest, lane 0 (bits 7:0) first; ``last`` with the last four."""

    data: 32
    last: 1


#: One user of the engine, seen from that user. While ``claim`` is high it wants the engine, or has
#: it; ``long`` holds meanwhile and asks for SHA-512 instead of SHA-384. The message is padded (FIPS
#: 180-4, 5.1.2). ``free`` tells that nobody has the engine.
HashPort = wiring.Signature(
    {
        "claim": Out(1),
        "long": Out(1),
        "word": Out(stream.Signature(HashWord)),
        "digest": In(stream.Signature(Digest)),
        "free": In(1),
    }
)


class HashShare(wiring.Component):
    """Gives the hash engine to one user at a time, until the last word of the digest is taken.

    A user may give it back before by no longer claiming it; its message is forgotten. The lowest
    number is served first. Words are taken, one a cycle, while the engine has not got a whole
    block: it becomes ready 14 cycles after an uncontested claim, and then as ``Sha512`` says. The
    engine gets them two by two, a cycle after the second, and a digest is there a cycle after the
    engine's.

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
        # From who takes a word to the engine's next one is too far for one cycle. What is in there
        # when a claim is given up is forgotten, too.
        m.submodules.edge = edge = ResetInserter(~busy)(HalfBuffer(DigestWord))
        connect(m, engine.o, edge.i)
        made = edge.o
        owner = Signal(max(1, ceil_log2(self.users)))
        with m.If(~busy):
            for number, port in reversed(list(enumerate(self.ports))):
                with m.If(port.claim):
                    m.d.sync += [owner.eq(number), busy.eq(1)]

        claim, valid = Signal(), Signal()
        digest_valid, digest_ready = Signal(), Signal()
        # From the cycle on in which a claim is given up, nothing is taken.
        owned = Signal()
        m.d.comb += owned.eq(busy & claim)
        word = HashWord(Signal(HashWord))
        ready = Signal()
        with m.Switch(owner):
            for number, port in enumerate(self.ports):
                with m.Case(number):
                    m.d.comb += [
                        claim.eq(port.claim),
                        engine.long.eq(port.long),
                        word.eq(port.word.payload),
                        valid.eq(port.word.valid & owned),
                        port.word.ready.eq(ready & owned),
                        digest_ready.eq(port.digest.ready),
                        port.digest.valid.eq(digest_valid & owned),
                    ]
        # Two words make one of the engine's.
        place, whole = Signal(5), Signal()
        ended = Signal()
        given = BlockWord(Signal(BlockWord))
        m.d.comb += [
            # Of a block whose last words are on their way it does not know yet that it has it.
            # And behind a digest no message begins by itself.
            ready.eq(engine.i.ready & ~(whole & (place == 0)) & ~digest_valid & ~ended),
            engine.open.eq(busy),
            engine.i.valid.eq(whole),
            engine.i.payload.eq(given),
        ]
        # It takes them: what begins a block it takes to the end.
        m.d.sync += whole.eq(0)
        with m.If(valid & ready):
            m.d.sync += [
                place.eq(place + 1),
                whole.eq(place[0]),
                given.data.eq(Cat(given.data[32:], word.data)),
                given.last.eq(word.last),
            ]

        # One of the engine's makes two words, and the next one comes while the upper half is taken.
        # That a claim is given up in this cycle need not hold it back: all of it is forgotten in
        # the next.
        upper, rest, shown = Signal(), Signal(Digest), Signal(Digest)
        m.d.comb += [
            shown.data.eq(made.payload.data[:32]),
            digest_valid.eq(made.valid | upper),
            made.ready.eq(digest_ready & ~upper),
        ]
        with m.If(upper):
            m.d.comb += shown.eq(rest)
        moves = digest_valid & digest_ready & busy
        for port in self.ports:
            m.d.comb += [port.free.eq(~busy), port.digest.payload.eq(shown)]
        with m.If(moves):
            m.d.sync += [
                upper.eq(~upper),
                rest.data.eq(made.payload.data[32:]),
                rest.last.eq(made.payload.last),
            ]
        # That the last word is taken empties all of this a cycle later: it is known too late.
        m.d.sync += ended.eq(moves & shown.last)
        with m.If(busy & (~claim | ended)):
            m.d.sync += [busy.eq(0), place.eq(0), whole.eq(0), upper.eq(0)]
        return m


class _Control(csr.Register, access="w"):
    """Begins a message, and forgets one that was begun."""

    long: csr.Field(csr.action.WO, 1, doc="SHA-512 instead of SHA-384.")


class _Data(csr.Register, access="w"):
    """Four bytes of the message, the first in bits 7:0."""

    data: csr.Field(csr.action.W, 32)


class _Finish(csr.Register, access="w"):
    """The last four bytes of the message's last block."""

    data: csr.Field(csr.action.W, 32)


class _Status(csr.Register, access="r"):
    """What the engine does."""

    room: csr.Field(
        csr.action.R, 1, doc="The rest of a block can be written without looking again."
    )
    done: csr.Field(csr.action.R, 1, doc="The digest can be read.")
    error: csr.Field(csr.action.R, 1, doc="A word was lost since ``control`` was written.")


class _DigestWord(csr.Register, access="r"):
    """The next four bytes of the digest, the first in bits 7:0; zero unless ``done``.

    All 12 words (16 for SHA-512) must be read, or ``control`` written: until then the engine is not
    free.
    """

    data: csr.Field(csr.action.R, 32)


class HashRegisters(wiring.Component):
    """Software's access to the hash engine.

    Write ``control``; then, a block of 32 words at a time, wait for ``room`` and write it to
    ``data``; write the last word of the last block to ``finish`` instead, wait for ``done``, read
    ``digest`` word by word. The message's padding is software's, too. A word that the engine does
    not take at once is lost: ``error``.

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
        claimed, again, error = Signal(), Signal(), Signal()
        end = self._finish.f.data.w_stb
        m.d.comb += [self.hash.claim.eq(claimed), self.hash.long.eq(self._control.f.long.data)]
        # From the bus through whoever shares the engine is too far for one cycle.
        m.d.sync += [
            word.valid.eq(self._data.f.data.w_stb | end),
            # Both registers are written from the same wires.
            word.payload.data.eq(self._data.f.data.w_data),
            word.payload.last.eq(end),
        ]
        lost = word.valid & ~word.ready
        with m.If(lost):
            m.d.sync += error.eq(1)
        with m.If(digest.valid & digest.ready & digest.payload.last):
            m.d.sync += claimed.eq(0)
        # A message that is under way loses its claim for a cycle.
        with m.If(again):
            m.d.sync += [claimed.eq(1), again.eq(0)]
        with m.If(self._control.w_stb):
            m.d.sync += [claimed.eq(~claimed), again.eq(claimed), error.eq(0)]

        m.d.comb += [
            digest.ready.eq(self._digest.r_stb),
            self._digest.f.data.r_data.eq(digest.payload.data & digest.valid.replicate(32)),
            self._status.f.room.r_data.eq(word.ready & ~word.valid),
            self._status.f.done.r_data.eq(digest.valid),
            self._status.f.error.r_data.eq(error | lost),
        ]
        return m
