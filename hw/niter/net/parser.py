"""The parser: finds the headers of a frame and puts them beside its first beat."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from niter.interface import FrameMeta, PacketStream, Verdict

from .config import OverlayConfig
from .dissector import Dissector
from .stage import Stage
from .underlay import QuestionWord

__all__ = ["HEADER_BEATS", "Parser"]

#: Beats within which all headers must end, with and without IPv6: where it stands, Ethernet, IPv4
#: and UDP cannot be longer.
HEADER_BEATS = {True: 15, False: 11}

#: What a question may be long, as its headers say: a solicitation with a few options.
_QUESTION_BYTES = 128

#: Cycles until a checksum is known behind the headers.
_SETTLING = 2


class Parser(Stage):
    """Fills in ``meta.headers`` and ``meta.hash``; a frame that is not well-formed gets
    the verdict ``MALFORMED``.

    While it is in the headers it takes four bytes a cycle, behind them a beat a cycle. A frame's
    bytes leave as they come, by ``beats``, for the buffer of a stage further on; what goes to
    the stages between is the frame's meta, in a single beat whose bytes are not there. The meta
    of a TCP frame over IPv4 leaves 13 cycles after its first beat has come, over IPv6 18; such
    frames of minimum size take 16 and 20 cycles each.

    The flow hash is 16 bits wide and begins as zero. Each of these 32-bit words turns it five
    bits to the left, and then its high half, and its low half turned by eight, are added
    without carry: the Ethernet addresses in four words, the first with two bytes of zero
    in front and the last with two behind, the IP addresses, and the ports. A fragment has no
    ports. It is linear and cheap, which is enough for what spreads flows over paths and queues.

    Parameters
    ----------
    config
        ``ipv6`` decides whether IPv6 is looked into.
    verify
        Also set ``meta.checksum_good``, from ``meta.sums``: two cycles more for a frame.
    questions
        Also read the headers of what the underlay asks the card, between two frames: a frame
        with ``meta.underlay`` and of a single beat, which means nothing.

    Members
    -------
    beats : Out(PacketStream)
        Bytes of the frames whose meta goes to ``o``, in the same order.
    questions : In(stream.Signature(QuestionWord))
        With the parameter of that name: words of questions, from ``Decapsulate``.
    """

    def __init__(self, config: OverlayConfig, *, verify: bool = False, questions: bool = False):
        self.config = config
        self.verify = verify
        self.asked = questions
        ports: dict = {"beats": Out(PacketStream)}
        if questions:
            ports["questions"] = In(stream.Signature(QuestionWord))
        super().__init__(ports=ports)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        header_beats = HEADER_BEATS[self.config.ipv6]
        m.submodules.dissector = dissector = Dissector(ipv6=self.config.ipv6, verify=self.verify)
        packet = self.i.payload.packet

        # Two words of each beat in the headers, then beat by beat. A word begins at the byte
        # lanes 6 and 2; the last two lanes wait for the next beat.
        half = Signal()
        feeding = Signal(init=1)
        step = Signal()
        beats = Signal(range(header_beats + 1))
        skip = Signal()
        take = Signal()
        carried = Signal(16)
        lanes = [packet.data.word_select(n, 8) for n in range(8)]
        overlong = Signal()
        first = Signal(init=1)
        # A question is read now; not its first word.
        asking = Signal()
        inside = Signal()
        whole = Mux(half, packet.empty < 3, packet.empty != 7)
        m.d.comb += [
            overlong.eq(beats == header_beats),
            skip.eq((dissector.done | overlong) & ~first),
            step.eq(self.i.valid & self.beats.ready & feeding & ~asking),
            take.eq(feeding & ~inside & (skip | half)),
            self.i.ready.eq(self.beats.ready & take),
            self.beats.valid.eq(self.i.valid & take),
            self.beats.payload.eq(packet),
        ]
        m.d.sync += dissector.stb.eq(step & ~skip & whole)
        with m.If(step):
            m.d.sync += [
                half.eq(~half & ~skip),
                dissector.word.eq(
                    Mux(
                        half,
                        Cat(lanes[5], lanes[4], lanes[3], lanes[2]),
                        Cat(lanes[1], lanes[0], carried),
                    )
                ),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += carried.eq(Cat(lanes[7], lanes[6]))
            with m.If(~overlong):
                m.d.sync += beats.eq(beats + 1)
            with m.If(packet.last):
                m.d.sync += [feeding.eq(0), half.eq(0)]
        # A condition by itself becomes the registers' reset, and costs nothing a bit.
        with m.If(~feeding):
            m.d.sync += carried.eq(0)

        # What belongs to the frame being read, and to the one that leaves.
        arriving = Signal(FrameMeta)
        leaving = Signal(FrameMeta)
        handed = Signal()
        occupied = Signal()
        known = Signal()
        m.d.comb += [
            dissector.length.eq(arriving.length),
            dissector.start.eq(first),
            *(
                there.eq(here)
                for there, here in zip(dissector.sums, self.i.payload.meta.sums, strict=True)
            ),
        ]
        read = Signal()
        m.d.comb += read.eq(~first & ~dissector.stb & (dissector.done | overlong | ~feeding))
        settled = [read]
        for n in range(_SETTLING if self.verify else 0):
            settled.append(Signal(name=f"settled_{n}"))
            m.d.sync += settled[-1].eq(settled[-2] & read)
        # `read` falls before what follows it does.
        m.d.comb += known.eq(settled[-1] & read)
        with m.If(step & first):
            m.d.sync += [arriving.eq(self.i.payload.meta), first.eq(0)]
        if self.asked:
            question = self.questions.payload
            m.d.comb += [
                asking.eq(self.questions.valid & feeding & (first | inside)),
                self.questions.ready.eq(asking & (~question.last | self.beats.ready)),
            ]
            with m.If(asking & first):
                m.d.sync += [
                    arriving.eq(0),
                    arriving.underlay.eq(1),
                    arriving.port.eq(question.port),
                    # Decapsulation has seen to it that all of it is there.
                    arriving.length.eq(_QUESTION_BYTES),
                    first.eq(0),
                    inside.eq(1),
                ]
            with m.If(asking):
                m.d.sync += [
                    dissector.stb.eq(self.questions.ready),
                    dissector.word.eq(question.word),
                ]
                m.d.comb += [
                    self.beats.valid.eq(question.last),
                    self.beats.payload.last.eq(1),
                ]
                with m.If(question.last & self.beats.ready):
                    m.d.sync += [feeding.eq(0), inside.eq(0)]
        with m.If(self.o.ready):
            m.d.sync += occupied.eq(0)
        with m.If(known & ~handed & ~occupied):
            m.d.sync += [leaving.eq(arriving), occupied.eq(1), handed.eq(1)]
            m.d.sync += [leaving.headers.eq(dissector.headers), leaving.hash.eq(dissector.hash)]
            if self.verify:
                m.d.sync += leaving.checksum_good.eq(dissector.checksum_good)
            with m.If((arriving.verdict == Verdict.PASS) & (dissector.bad | ~dissector.done)):
                m.d.sync += leaving.verdict.eq(Verdict.MALFORMED)
        with m.If(handed & ~feeding):
            m.d.sync += [feeding.eq(1), first.eq(1), handed.eq(0), beats.eq(0)]

        m.d.comb += [
            self.o.payload.packet.last.eq(1),
            self.o.payload.meta.eq(leaving),
            self.o.valid.eq(occupied),
        ]
        return m
