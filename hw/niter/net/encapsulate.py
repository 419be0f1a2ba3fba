"""Encapsulation: a tunnel's headers in front of a tenant's frame, or an answer in its place."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib.wiring import connect, flipped
from amaranth.utils import ceil_log2

from niter.interface import FrameBeat, Verdict
from niter.stream import PipeRegister, Realigner, piece_layout

from .config import OverlayConfig
from .header_fields import HeaderFields
from .neighbour import Answer
from .stage import Stage
from .table import Table
from .tunnel import Descriptor, TunnelLayout

__all__ = ["Encapsulate"]


class Encapsulate(Stage):
    """Puts the outer headers of ``meta.tunnel`` in front of the frame: Ethernet, IPv4 or IPv6,
    UDP, and VXLAN (RFC 7348) or GENEVE without options (RFC 8926).

    Constant fields come from the tunnel's template and record (see ``TunnelLayout``). The
    stage fills in

    - DSCP and ECN from the inner IP header (RFC 6040, normal mode), zero for other frames;
    - lengths, and the IPv4 header's checksum. The datagram is atomic (DF set in the
      template), so that its identification carries nothing (RFC 6864);
    - the UDP source port, 49152 to 65535, from ``meta.hash``;
    - the VNI;
    - when the tunnel wants the UDP checksum: ``meta.outer_checksum`` for the buffer in front
      of the MAC, and the rest of the pseudo-header in its place.

    ``meta.length`` and the inner checksum's slot move along, and ``meta.port`` becomes the
    tunnel's. A frame that is ``resolved`` is a header without a frame: ``Answer`` takes its place.
    One that is local, of the underlay or rejected passes unchanged.

    Latency 12 cycles over IPv4, 14 over IPv6, to the frame's own first beat; other frames 5.
    It takes 9 or 11 cycles and the frame's beats for each frame.

    Parameters
    ----------
    config
        ``tunnels``, ``templates`` and ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self.layout = TunnelLayout(config)
        doc = "Header templates and tunnel records, in rows of two words."
        self._table = Table(32, self.layout.depth, doc, columns=2)
        super().__init__(blocks={"tunnels": self._table})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        m.submodules.answer = answer = Answer(ipv6=self.config.ipv6)
        table = self._table
        packet, meta = self.i.payload.packet, self.i.payload.meta
        # A header ends two bytes into a beat, over IPv6 six; an answer is in full beats.
        ends = {2, 6} if self.config.ipv6 else {2}
        m.submodules.register = register = PipeRegister(piece_layout(FrameBeat))
        m.submodules.realigner = realigner = Realigner(FrameBeat, turns={0}, stops=ends)
        m.d.comb += [
            realigner.i.payload.eq(register.o.payload),
            realigner.i.valid.eq(register.o.valid),
            register.o.ready.eq(realigner.i.ready),
        ]
        connect(m, realigner.o, flipped(self.o))
        piece = register.i.payload

        # The beat asked for, and the one that stands at the table's output.
        asked = Signal(4)
        blank = Signal()
        beat = Signal(4)
        at = Signal(4)
        tunnel = Signal(Descriptor)
        ipv6 = Signal()
        step = Signal()
        describing = Signal()
        answers = Signal()
        m.d.comb += [
            ipv6.eq(tunnel.ipv6 if self.config.ipv6 else 0),
            table.en.eq(step),
            beat.eq(asked | Mux(blank, TunnelLayout.ZERO, 0)),
            table.addr.eq(self._address(m, beat, describing, ipv6, tunnel.template)),
            answer.meta.eq(meta),
        ]
        with m.If(step):
            m.d.sync += [asked.eq(asked + 1), at.eq(asked)]

        copy = Signal(64)
        described = Signal()
        tunnel_now = Signal(Descriptor)
        m.submodules.fields = fields = HeaderFields(ipv6=self.config.ipv6)
        m.d.comb += [
            tunnel_now.eq(table.data),
            fields.meta.eq(meta),
            fields.described.eq(described),
            fields.partial.eq(tunnel_now.partial),
            fields.over_ipv6.eq(ipv6),
            fields.checksum.eq(tunnel.checksum),
            fields.at.eq(at),
            fields.step.eq(step & ~describing),
            fields.take.eq(register.i.ready),
        ]
        plain = Signal()
        last = Signal()
        m.d.comb += last.eq(at == Mux(ipv6, 8, 6))
        self._describe(m, piece.sideband.meta, answer, tunnel, plain, answers, ipv6)

        # Each source of a beat's bytes has registers of its own, which are reset when it has
        # nothing to say: that takes no LUT, and all of them together take fewer than a choice.
        # The frame is turned to where the header ends.
        passing = Signal()
        heads = Signal()
        sources = [(packet.data, passing & plain), (table.data, heads)]
        for over_ipv6, end in ((0, 2), (1, 6))[: 1 + self.config.ipv6]:
            turned = passing & ~plain & (ipv6 == over_ipv6)
            sources.append((packet.data.rotate_left(8 * end), turned))
        word = fields.patch | copy
        for number, (source, speaks) in enumerate(sources):
            said = Signal(64, name=f"said_{number}")
            with m.If(register.i.ready & ~speaks):
                m.d.sync += said.eq(0)
            with m.Elif(register.i.ready):
                m.d.sync += said.eq(source)
            word |= said
        with m.If(register.i.ready):
            m.d.sync += copy.eq(answer.o.payload.data)
        m.d.comb += [piece.packet.eq(packet), realigner.i.payload.packet.data.eq(word)]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [describing.eq(1), step.eq(1)]
                m.d.sync += [asked.eq(0), at.eq(0), answers.eq(0), plain.eq(0)]
                with m.If(self.i.valid):
                    m.next = "Describe"
                    with m.If((meta.verdict != Verdict.PASS) | meta.local | meta.underlay):
                        m.d.sync += plain.eq(1)
                        m.next = "Blank"
                    with m.If((meta.verdict == Verdict.PASS) & meta.resolved):
                        m.d.sync += [answers.eq(1), plain.eq(0)]
                        m.next = "Blank"
            with m.State("Describe"):
                m.d.comb += [described.eq(1), step.eq(1)]
                m.d.sync += tunnel.eq(tunnel_now)
                m.next = "Header"
            with m.State("Header"):
                m.d.comb += [
                    heads.eq(1),
                    register.i.valid.eq(1),
                    step.eq(register.i.ready),
                    # Each kind of header ends two or six bytes into a beat.
                    piece.packet.empty.eq(Mux(last, Mux(ipv6, 2, 6), 0)),
                    piece.packet.last.eq(0),
                    piece.packet.error.eq(0),
                ]
                with m.If(step & last):
                    m.next = "Frame"
            with m.State("Frame"):
                m.d.comb += [
                    passing.eq(1),
                    register.i.valid.eq(self.i.valid),
                    self.i.ready.eq(register.i.ready),
                ]
                with m.If(self.i.valid & self.i.ready & packet.last):
                    m.next = "Idle"
            with m.State("Blank"):
                m.d.comb += [step.eq(1), blank.eq(1)]
                m.next = "Frame"
                with m.If(answers):
                    m.next = "Answer"
            with m.State("Answer"):
                m.d.comb += [
                    answer.run.eq(1),
                    register.i.valid.eq(answer.o.valid),
                    answer.o.ready.eq(register.i.ready),
                    piece.packet.empty.eq(answer.o.payload.empty),
                    piece.packet.last.eq(answer.o.payload.last),
                    piece.packet.error.eq(0),
                ]
                with m.If(answer.o.valid & answer.o.ready & answer.o.payload.last):
                    m.next = "Discard"
            with m.State("Discard"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & packet.last):
                    m.next = "Idle"
        return m

    def _address(self, m, beat, describing, ipv6, template):
        """Where in the table the header's ``beat`` stands, or the tunnel's descriptor."""
        layout = self.layout
        own = Signal()
        beats = (*layout.OWN[0], *(16 + n for n in layout.OWN[1]))
        with m.Switch(Cat(beat, ipv6)), m.Case(*beats):
            m.d.comb += own.eq(1)
        position = Mux(describing, layout.descriptor, layout.own(beat))
        position_bits = ceil_log2(layout.record)
        tunnel_bits = ceil_log2(self.config.tunnels)
        record = Cat(position[:position_bits], self.i.payload.meta.tunnel[:tunnel_bits])
        return Mux(
            describing | own,
            layout.tunnels | record,
            Cat(beat, template[: ceil_log2(self.config.templates)]),
        )

    def _describe(self, m, out, answer, tunnel, plain, answers, ipv6):
        """The meta of the frame with its headers, or of the answer."""
        meta = self.i.payload.meta
        grown = Signal(7)
        m.d.comb += [
            grown.eq(Mux(plain, 0, Mux(ipv6, *reversed(TunnelLayout.HEADER_BYTES)))),
            out.eq(meta),
            out.length.eq(meta.length + grown),
        ]
        for end in ("start", "position"):
            m.d.comb += out.inner_checksum[end].eq(meta.inner_checksum[end] + grown)
        with m.If(answers):
            m.d.comb += [
                out.answer.eq(1),
                out.local.eq(~meta.underlay),
                out.length.eq(answer.length),
                out.inner_checksum.enable.eq(0),
            ]
            if self.config.ipv6:
                m.d.comb += out.inner_checksum.eq(answer.checksum)
        with m.Elif(~plain):
            # From the IP addresses to the end of the frame.
            m.d.comb += [
                out.port.eq(tunnel.port),
                out.outer_checksum.enable.eq(tunnel.checksum),
                out.outer_checksum.start.eq(Mux(ipv6, 22, 26)),
                out.outer_checksum.position.eq(Mux(ipv6, 60, 40)),
            ]
