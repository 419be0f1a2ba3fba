"""The packet port: management frames between the wire and the CPU."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import BEAT_BYTES, Beat, FrameStream
from niter.ram import Ram

from .registers import bridge_of

__all__ = ["LONGEST_FRAME", "FrameTap", "PacketPort"]

#: What the port takes, in bytes: a buffer holds 2 KiB.
LONGEST_FRAME = 1518

#: Beats and words of one buffer.
_BEATS, _WORDS = 256, 512

#: Protocol number of UDP, EtherType of IPv4 and the first byte of its header without options.
_UDP, _IPV4, _NO_OPTIONS = 17, 0x0800, 0x45

#: EtherType of ARP, and its operation for a request.
_ARP, _REQUEST = 0x0806, 1

#: A frame stream as it is seen by one who does not take part in it.
FrameTap = wiring.Signature(
    {"transfer": Out(1), "packet": Out(Beat), "length": Out(14), "port": Out(2)}
)


def _octet(word, at):
    return word.word_select(at % BEAT_BYTES, 8)


def _number(word, at):
    return Cat(_octet(word, at + 1), _octet(word, at))


class PacketPort(wiring.Component):
    """Hands UDP datagrams over IPv4 for one destination port to software, and sends its frames.

    It listens to all that comes from the wire and holds nothing back: a frame that it takes also
    goes on to the overlay, which drops it. It has two buffers for frames from the wire; one that
    finds both full is counted and lost. So is one that comes too soon: the port takes one frame in
    ``interval`` cycles, and one ahead of its time, which the next then waits for. IP options and
    fragments are not taken. Software looks at addresses and checksums.

    Parameters
    ----------
    resolves
        It also takes ARP requests for one address, where nobody else answers them.

    Members
    -------
    tap : In(FrameTap)
        Frames from the wire.
    o : Out(FrameStream)
        Frames to the wire, in order, a beat every three cycles. Meta: ``length``, ``port``.
    bus : In(csr.Signature)
        Registers.
    """

    class Listen(csr.Register, access="w"):
        """What is taken."""

        port: csr.Field(csr.action.WO, 16, doc="UDP destination port; zero: nothing.")

    class Resolve(csr.Register, access="w"):
        """Where the port resolves: whose requests are taken while it listens."""

        address: csr.Field(csr.action.WO, 32, doc="IPv4 address, its first byte highest.")

    class Interval(csr.Register, access="w"):
        """Rate limit."""

        cycles: csr.Field(csr.action.WO, 18, doc="For each frame taken; one may come ahead.")

    class Receive(csr.Register, access="r"):
        """The frame that ``received`` gives."""

        length: csr.Field(csr.action.R, 14, doc="Bytes; zero: there is none.")
        port: csr.Field(csr.action.R, 2, doc="Where it came from.")

    class Done(csr.Register, access="w"):
        """Gives the frame's buffer back."""

        buffer: csr.Field(csr.action.W, 1, doc="Any value.")

    class Lost(csr.Register, access="r"):
        """Frames lost to the rate limit or for lack of a buffer."""

        frames: csr.Field(csr.action.R, 8, doc="Wraps.")

    class Content(csr.Register, access="w"):
        """The next four bytes of the frame to be sent; ignored while one is being sent."""

        word: csr.Field(csr.action.W, 32)

    class Send(csr.Register, access="rw"):
        """Sends what was written to ``content``, and says whether one is being sent."""

        length: csr.Field(csr.action.W, 11, doc="Bytes, 14 to 1518.")
        port: csr.Field(csr.action.W, 2, doc="Where it leaves.")
        busy: csr.Field(csr.action.R, 1)

    def __init__(self, *, resolves: bool = False):
        self.resolves = resolves
        self._listen, self._interval = self.Listen(), self.Interval()
        self._receive, self._done = self.Receive(), self.Done()
        self._lost, self._content, self._send = self.Lost(), self.Content(), self.Send()
        self._resolve = self.Resolve()
        self._bridge = bridge_of(
            {
                "listen": self._listen,
                "interval": self._interval,
                "receive": self._receive,
                "done": self._done,
                "lost": self._lost,
                "content": self._content,
                "send": self._send,
                **({"resolve": self._resolve} if resolves else {}),
            }
        )
        # Its answers come straight from the memory.
        self._received = csr.Signature(addr_width=1).create()
        self._received.memory_map = csr.MemoryMap(addr_width=1)
        self._received.memory_map.add_resource(
            csr.WordArray(
                1, "The next four bytes of the frame, the first in bits 7:0.", access="r"
            ),
            name="received",
        )
        self._decoder = csr.Decoder(addr_width=4)
        self._decoder.add(self._bridge.bus, name="port", addr=0)
        self._decoder.add(self._received, name="frame")
        super().__init__(
            {"tap": In(FrameTap), "o": Out(FrameStream), "bus": In(csr.Signature(addr_width=4))}
        )
        self.bus.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.bus), self._decoder.bus)
        self._take(m)
        self._give(m)
        return m

    def _take(self, m):
        """From the wire to software."""
        tap = self.tap
        # Each buffer is full or not; both sides go round.
        full = Signal(2)
        lengths = Signal(data.ArrayLayout(11, 2))
        ports = Signal(data.ArrayLayout(2, 2))
        filling, emptying = Signal(), Signal()
        beat = Signal(9)
        fits = ~beat[8]
        # What a beat must say, by its number.
        octets, matches, good, heard = tap.packet.data, Signal(), Signal(), Signal()
        m.d.comb += matches.eq(1)
        with m.Switch(beat):
            with m.Case(1):
                version = _octet(octets, 14) == _NO_OPTIONS
                m.d.comb += matches.eq((_number(octets, 12) == _IPV4) & version)
            with m.Case(2):
                whole = ~_number(octets, 20)[:14].any()
                m.d.comb += matches.eq((_octet(octets, 23) == _UDP) & whole)
            with m.Case(4):
                m.d.comb += matches.eq(_number(octets, 36) == self._listen.f.port.data)
        reaches = beat >= 5
        whole = tap.transfer & tap.packet.last & ~tap.packet.error
        short = tap.length <= LONGEST_FRAME
        listens = self._listen.f.port.data != 0
        m.d.comb += heard.eq(whole & good & matches & reaches & fits & short & listens)
        if self.resolves:
            asked = self._asked(m, beat)
            with m.If(whole & asked & reaches & fits & short & listens):
                m.d.comb += heard.eq(1)
        # An interval is running, and a frame was taken ahead of it: one more will follow.
        wait, ahead = Signal(18), Signal()
        waits = wait != 0
        taken = heard & ~(waits & ahead) & ~full.bit_select(filling, 1)
        lost = Signal(8)
        with m.If(waits):
            m.d.sync += wait.eq(wait - 1)
        with m.Elif(taken | ahead):
            m.d.sync += wait.eq(self._interval.f.cycles.data)
        with m.If(waits & taken):
            m.d.sync += ahead.eq(1)
        with m.Elif(~waits & ~taken):
            m.d.sync += ahead.eq(0)
        with m.If(tap.transfer):
            m.d.sync += [beat.eq(beat + fits), good.eq((good | (beat == 0)) & matches)]
            with m.If(tap.packet.last):
                m.d.sync += beat.eq(0)
        with m.If(heard & ~taken):
            m.d.sync += lost.eq(lost + 1)

        word = Signal(9)
        # There is a frame for software.
        waiting = Signal()
        done = self._done.f.buffer.w_stb & waiting
        with m.If(taken):
            m.d.sync += [
                full.bit_select(filling, 1).eq(1),
                lengths[filling].eq(tap.length),
                ports[filling].eq(tap.port),
                filling.eq(~filling),
            ]
        with m.If(done):
            m.d.sync += [full.bit_select(emptying, 1).eq(0), emptying.eq(~emptying), word.eq(0)]
        with m.Elif(self._received.r_stb):
            m.d.sync += word.eq(word + 1)
        answers = []
        for half in range(2):
            m.submodules[f"received_{half}"] = storage = Ram(shape=32, depth=2 * _BEATS, init=[])
            write = storage.write_port()
            read = storage.read_port(shown=self._received.r_stb & (word[0] == half))
            m.d.comb += [
                write.addr.eq(Cat(beat[:8], filling)),
                write.data.eq(tap.packet.data.word_select(half, 32)),
                write.en.eq(tap.transfer & fits & ~full.bit_select(filling, 1)),
                read.addr.eq(Cat(word[1:], emptying)),
                read.en.eq(1),
            ]
            answers.append(read.data)
        m.d.comb += [
            waiting.eq(full.bit_select(emptying, 1)),
            self._received.r_data.eq(answers[0] | answers[1]),
            self._receive.f.length.r_data.eq(Mux(waiting, lengths[emptying], 0)),
            self._receive.f.port.r_data.eq(ports[emptying]),
            self._lost.f.frames.r_data.eq(lost),
        ]

    def _asked(self, m, beat):
        """With its last beat: a frame asks who has the card's address."""
        tap, address = self.tap, self._resolve.f.address.data
        octets, matches, good = tap.packet.data, Signal(), Signal()
        m.d.comb += matches.eq(1)
        with m.Switch(beat):
            for number, at, wanted in (
                (1, 12, _ARP),
                (2, 20, _REQUEST),
                (4, 38, address[16:]),
                (5, 40, address[:16]),
            ):
                with m.Case(number):
                    m.d.comb += matches.eq(_number(octets, at) == wanted)
        with m.If(tap.transfer):
            m.d.sync += good.eq((good | (beat == 0)) & matches)
        return good & matches

    def _give(self, m):
        """From software to the wire."""
        m.submodules.sent = storage = Ram(shape=32, depth=_WORDS, init=[])
        write, read = storage.write_port(), storage.read_port()
        at = Signal(9)
        left = Signal(11)
        low = Signal(32)
        length = Signal(11)
        port = Signal(2)
        out = self.o.payload
        send = self._send.f
        busy = Signal()
        final = left <= BEAT_BYTES
        m.d.comb += [
            send.busy.r_data.eq(busy),
            write.addr.eq(at),
            write.data.eq(self._content.f.word.w_data),
            write.en.eq(self._content.f.word.w_stb & ~busy),
            read.addr.eq(at),
            read.en.eq(1),
            out.meta.length.eq(length),
            out.meta.port.eq(port),
            out.packet.data.eq(Cat(low, read.data)),
            out.packet.last.eq(final),
            out.packet.empty.eq(Mux(final, (0 - left)[:3], 0)),
        ]
        with m.If(write.en):
            m.d.sync += at.eq(at + 1)
        with m.FSM():
            with m.State("IDLE"):
                good = (send.length.w_data >= 14) & (send.length.w_data <= LONGEST_FRAME)
                m.d.sync += [length.eq(send.length.w_data), left.eq(send.length.w_data)]
                m.d.sync += port.eq(send.port.w_data)
                with m.If(self._send.w_stb):
                    m.d.sync += at.eq(0)
                    with m.If(good):
                        m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += busy.eq(1)
                m.d.sync += at.eq(at + 1)
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += busy.eq(1)
                m.d.sync += low.eq(read.data)
                m.next = "BEAT"
            # The second word stands at the memory's output as long as its address does.
            with m.State("BEAT"):
                m.d.comb += [busy.eq(1), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += [at.eq(at + 1), left.eq(left - BEAT_BYTES)]
                    m.next = "LOW"
                    with m.If(final):
                        m.d.sync += at.eq(0)
                        m.next = "IDLE"
