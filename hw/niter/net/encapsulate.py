"""Encapsulation: a tunnel's headers in front of a tenant's frame."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import connect, flipped
from amaranth.utils import ceil_log2

from niter.interface import FrameBeat, Verdict
from niter.stream import Realigner

from .config import OverlayConfig
from .protocol import IpProtocol
from .stage import Stage, add_carry
from .table import Table

__all__ = ["Descriptor", "Encapsulate", "TunnelLayout"]


class Descriptor(data.Struct):
    """The word of a tunnel's record that is not part of its headers.

    Members
    -------
    partial : 16 bits
        IPv4: ones' complement sum of the IP header's words, with DSCP, ECN, total length and
        checksum taken as zero, modulo 65535.
    template : 3 bits
        The template that the rest of the headers comes from.
    port : 2 bits
        Wire port that the tunnel leaves by.
    ipv6 : 1 bit
        The tunnel runs over IPv6.
    checksum : 1 bit
        Fill in the outer UDP checksum; otherwise it stays zero (RFC 7348, 5; RFC 6935).
    """

    partial: 16
    template: 3
    port: 2
    ipv6: 1
    checksum: 1


class TunnelLayout:
    """Where templates and tunnel records stand in the table of the encapsulation stage.

    An outer header is a row of 32-bit words, first byte in the high bits, with two bytes of
    nothing in front of the first. Which words are the tunnel's own (``own``: destination MAC
    and IP address), follows from the kind of header; the rest comes from the template, in
    which the fields that vary from frame to frame are zero: DSCP and ECN, lengths, checksums,
    source port, VNI.

    Parameters
    ----------
    config
        ``tunnels``, ``templates`` and ``ipv6``.
    """

    #: Words reserved for a template, which starts at ``template * TEMPLATE``.
    TEMPLATE = 32
    #: Bytes in front of the inner frame, by ``Descriptor.ipv6``.
    HEADER_BYTES = (50, 70)
    #: Words of the header that are the tunnel's own, by ``Descriptor.ipv6``.
    OWN = ((0, 1, 8), (0, 1, 10, 11, 12, 13))

    def __init__(self, config: OverlayConfig):
        #: Words of a tunnel's record.
        self.record = 8 if config.ipv6 else 4
        #: Position of the descriptor in it.
        self.descriptor = 4 if config.ipv6 else 3
        #: Where the records begin.
        self.tunnels = max(config.tunnels * self.record, self.TEMPLATE * config.templates)
        self.tunnels = 1 << ceil_log2(self.tunnels)
        self.depth = 2 * self.tunnels

    def own_word(self, word):
        """Position in the record of the tunnel's own word ``word`` of the header."""
        return word[:3] | (word[3] << 1)


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
    tunnel's. A frame that is local, of the underlay or rejected passes unchanged.

    Latency 17 cycles over IPv4, 22 over IPv6, to the frame's own first beat; other frames 4.
    It takes that and the frame's beats for each frame.

    Parameters
    ----------
    config
        ``tunnels``, ``templates`` and ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self.layout = TunnelLayout(config)
        self._table = Table(32, self.layout.depth, "Header templates and tunnel records.")
        super().__init__(blocks={"tunnels": self._table})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        table = self._table
        packet, meta = self.i.payload.packet, self.i.payload.meta
        turns = {0, 2, 6} if self.config.ipv6 else {0, 2}
        m.submodules.realigner = realigner = Realigner(FrameBeat, turns=turns)
        connect(m, realigner.o, flipped(self.o))
        piece = realigner.i.payload

        asked = Signal(5)
        at = Signal(5)
        tunnel = Signal(Descriptor)
        ipv6 = Signal()
        step = Signal()
        describing = Signal()
        m.d.comb += [
            ipv6.eq(tunnel.ipv6 if self.config.ipv6 else 0),
            table.en.eq(step),
            table.addr.eq(self._address(m, asked, describing, ipv6, tunnel.template)),
        ]
        with m.If(step):
            m.d.sync += [asked.eq(asked + 1), at.eq(asked)]

        word = Signal(32)
        patch = Signal(32)
        m.d.comb += word.eq(table.data | patch)
        self._patch(m, at, step, tunnel, ipv6, patch)

        # Over IPv4 the odd number of words leaves the first alone in its beat.
        previous = Signal(32)
        complete = Signal()
        plain = Signal()
        grown = Signal(7)
        lanes = Cat(previous, word)
        m.d.comb += [
            complete.eq(at[0] == ipv6),
            grown.eq(Mux(plain, 0, Mux(ipv6, *reversed(TunnelLayout.HEADER_BYTES)))),
            piece.packet.data.eq(
                Cat(lanes.word_select(4 * half + 3 - n, 8) for half in range(2) for n in range(4))
            ),
        ]
        self._describe(m, piece.sideband.meta, tunnel, plain, grown, ipv6)
        with m.If(step):
            m.d.sync += previous.eq(word)

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [describing.eq(1), step.eq(1)]
                m.d.sync += asked.eq(0)
                with m.If(self.i.valid):
                    m.d.sync += plain.eq(0)
                    m.next = "Describe"
                    with m.If(meta.local | meta.underlay | (meta.verdict != Verdict.PASS)):
                        m.d.sync += plain.eq(1)
                        m.next = "Frame"
            with m.State("Describe"):
                m.d.comb += step.eq(1)
                m.d.sync += tunnel.eq(table.data)
                m.next = "Header"
            with m.State("Header"):
                m.d.comb += [
                    step.eq(~complete | realigner.i.ready),
                    realigner.i.valid.eq(complete),
                    piece.start.eq(Mux(at == ipv6, Mux(ipv6, 2, 6), 0)),
                ]
                with m.If(step & (at == Mux(ipv6, 17, 12))):
                    m.next = "Frame"
            with m.State("Frame"):
                m.d.comb += [
                    piece.packet.eq(packet),
                    realigner.i.valid.eq(self.i.valid),
                    self.i.ready.eq(realigner.i.ready),
                ]
                with m.If(self.i.valid & self.i.ready & packet.last):
                    m.next = "Idle"
        return m

    def _address(self, m, word, describing, ipv6, template):
        """Where in the table the header's ``word`` stands, or the tunnel's descriptor."""
        layout = self.layout
        both, only4 = layout.OWN[0][:2], layout.OWN[0][2:]
        own = Signal()
        with m.Switch(word):
            with m.Case(*both):
                m.d.comb += own.eq(1)
            with m.Case(*only4):
                m.d.comb += own.eq(~ipv6)
            with m.Case(*layout.OWN[1][len(both) :]):
                m.d.comb += own.eq(ipv6)
        position = Mux(describing, layout.descriptor, layout.own_word(word))
        position_bits = ceil_log2(layout.record)
        tunnel_bits = ceil_log2(self.config.tunnels)
        record = Cat(position[:position_bits], self.i.payload.meta.tunnel[:tunnel_bits])
        return Mux(
            describing | own,
            layout.tunnels | record,
            Cat(word, template[: ceil_log2(self.config.templates)]),
        )

    def _patch(self, m, at, step, tunnel, ipv6, patch):
        """What the frame adds to the header's word ``at``."""
        meta = self.i.payload.meta
        tos, low, high = meta.headers.tos, patch[:16], patch[16:]
        # Lengths: of the IPv4 datagram, of the UDP datagram; and the latter with the
        # protocol number, which is what the pseudo-header adds to the addresses.
        beyond = Signal(6)
        total = Signal(16)
        seed = Signal(16)
        checksum = Signal(17)
        operand = Signal(16)
        m.d.comb += [beyond.eq(16), total.eq(meta.length + beyond)]
        with m.Switch(at):
            with m.Case(1):
                m.d.comb += operand.eq(tos)
            with m.Case(2):
                m.d.comb += beyond.eq(16 + IpProtocol.UDP)
                with m.If(step):
                    m.d.sync += seed.eq(total)
            with m.Case(3):
                m.d.comb += [beyond.eq(36), operand.eq(total)]
            with m.Case(4), m.If(~ipv6):
                m.d.comb += beyond.eq(36)
        # Each word folds the carry of the one before.
        with m.If(step):
            m.d.sync += checksum.eq(add_carry(checksum[:16], operand, checksum[16]))
            with m.If(at == 0):
                m.d.sync += checksum.eq(tunnel.partial)

        with m.Switch(Cat(at, ipv6)):
            with m.Case(4):
                m.d.comb += [high.eq(tos), low.eq(total)]
            with m.Case(6):
                m.d.comb += low.eq(~checksum)
            with m.Case(9, 32 + 14):
                m.d.comb += high.eq(0xC000 | meta.hash[:14])
            with m.Case(10, 32 + 15):
                m.d.comb += [high.eq(total), low.eq(seed & tunnel.checksum.replicate(16))]
            with m.Case(12, 32 + 17):
                m.d.comb += patch.eq(meta.vni << 8)
            if self.config.ipv6:
                with m.Case(32 + 4):
                    m.d.comb += high.eq(tos << 4)
                with m.Case(32 + 5):
                    m.d.comb += high.eq(total)

    def _describe(self, m, out, tunnel, plain, grown, ipv6):
        """The meta of the frame with its headers."""
        meta = self.i.payload.meta
        m.d.comb += [out.eq(meta), out.length.eq(meta.length + grown)]
        for end in ("start", "position"):
            m.d.comb += out.inner_checksum[end].eq(meta.inner_checksum[end] + grown)
        with m.If(~plain):
            # From the IP addresses to the end of the frame.
            m.d.comb += [
                out.port.eq(tunnel.port),
                out.outer_checksum.enable.eq(tunnel.checksum),
                out.outer_checksum.start.eq(Mux(ipv6, 22, 26)),
                out.outer_checksum.position.eq(Mux(ipv6, 60, 40)),
            ]
