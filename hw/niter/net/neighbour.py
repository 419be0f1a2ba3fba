"""Answers to ARP requests and neighbour solicitations."""

from amaranth import Cat, Module, Mux, Signal

from .config import OverlayConfig
from .protocol import EtherType, IpProtocol
from .stage import Stage, pass_frame

__all__ = ["Neighbour"]

#: ICMPv6 neighbour advertisement, and its flags solicited and override.
_ADVERTISEMENT = 136 << 8
_SOLICITED_OVERRIDE = 0x6000
#: The option for a target's link-layer address, of eight bytes.
_TARGET_LINK_LAYER = 0x0201


class Neighbour(Stage):
    """Puts the answer in the place of a frame that asks for a known neighbour.

    An ARP request becomes the reply (RFC 826), a neighbour solicitation the solicited
    advertisement with the target's link-layer address (RFC 4861, 4.4), with the VLAN tag of
    the question. The answer goes to the asking function (``meta.local``), or to the wire
    for a question of the underlay, and is marked ``meta.answer``. The advertisement's checksum
    is left to the buffer behind (``meta.inner_checksum``): its place holds what the
    pseudo-header adds to the addresses.

    Other frames pass combinationally. An answer takes 2 cycles for each of its 16-bit words:
    a word a cycle, and as long for nothing else than the question's beats behind it.

    Parameters
    ----------
    config
        ``ipv6``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        meta, out = self.i.payload.meta, self.o.payload.meta
        headers = meta.headers
        arp = headers.arp if self.config.ipv6 else 1

        # Words are shifted in from the top of a beat.
        index = Signal(6)
        tag = Signal(2)
        lane = Signal(2)
        beat = Signal(4)
        beats = Signal(4)
        shifted = Signal(64)
        word = Signal(16)
        m.d.comb += beats.eq(Mux(arp, 6, Mux(headers.vlan, 12, 11)))
        self._compose(m, index, tag, word)

        # The meta passes always; of the packet, what is not the question's is replaced.
        passing = Signal()
        last = Signal()
        m.d.comb += [*pass_frame(self.i, self.o, passing), last.eq(beat == beats)]
        with m.If(meta.resolved):
            m.d.comb += [
                self.o.payload.packet.data.eq(shifted),
                self.o.payload.packet.last.eq(last),
                self.o.payload.packet.empty.eq(Mux(last, Mux(arp == headers.vlan, 2, 6), 0)),
                self.o.payload.packet.error.eq(0),
            ]

        with m.FSM():
            with m.State("Pass"):
                m.d.comb += passing.eq(~meta.resolved)
                m.d.sync += [index.eq(0), lane.eq(0), beat.eq(1), tag.eq(0)]
                with m.If(self.i.valid & meta.resolved):
                    m.next = "Shift"
            with m.State("Shift"):
                m.d.sync += [shifted.eq(Cat(shifted[16:], word[8:], word[:8])), lane.eq(lane + 1)]
                # Behind the addresses stands the question's tag, if it has one.
                with m.If((index == 5) & headers.vlan & (tag != 2)):
                    m.d.sync += tag.eq(tag + 1)
                with m.Else():
                    m.d.sync += [index.eq(index + 1), tag.eq(0)]
                with m.If(lane.all()):
                    m.next = "Send"
            with m.State("Send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += beat.eq(beat + 1)
                    m.next = "Shift"
                    with m.If(last):
                        m.next = "Discard"
            with m.State("Discard"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.payload.packet.last):
                    m.next = "Pass"

        with m.If(meta.resolved):
            tag_bytes = headers.vlan << 2
            m.d.comb += [
                out.answer.eq(1),
                out.local.eq(~meta.underlay),
                out.length.eq(Mux(arp, 42, 86) + tag_bytes),
            ]
            if self.config.ipv6:
                # From the source address on; ARP has none.
                m.d.comb += [
                    out.inner_checksum.enable.eq(~arp),
                    out.inner_checksum.start.eq(22 + tag_bytes),
                    out.inner_checksum.position.eq(56 + tag_bytes),
                ]
        return m

    def _compose(self, m, index, tag, word):
        """The answer's 16-bit word at ``index``: a constant, or a word of an address."""
        meta = self.i.payload.meta
        headers = meta.headers
        fields = [headers.source, meta.neighbour, headers.ip_destination[:32]]
        fields += [headers.ip_source[:32], headers.ip_source, headers.nd_target]
        asker, owner, target4, asker4, asker6, target6 = range(6)
        used = (asker, owner, target4, asker4)
        if self.config.ipv6:
            used = (asker, owner, target4, asker6, target6)
        # Where each field's words begin among all of them, least significant first.
        begin, end = {}, 0
        for field in used:
            begin[field], end = end, end + len(fields[field]) // 16
        begin.setdefault(asker4, begin.get(asker6))
        words = Cat(fields[field] for field in used)

        def address(field):
            count = len(fields[field]) // 16
            return [(begin[field] + n, 0) for n in reversed(range(count))]

        def constants(*values):
            return [(None, value) for value in values]

        ethernet = address(asker) + address(owner)
        arp = constants(EtherType.ARP, 1, EtherType.IPV4, 0x0604, 2)
        arp += address(owner) + address(target4) + address(asker) + address(asker4)
        programs = {0: ethernet + arp}
        if self.config.ipv6:
            advertisement = constants(EtherType.IPV6, 0x6000, 0, 32, IpProtocol.ICMPV6 << 8 | 255)
            advertisement += address(target6) + address(asker6)
            # In the checksum's place: what the pseudo-header adds to the addresses.
            seed = IpProtocol.ICMPV6 + 32
            advertisement += constants(_ADVERTISEMENT, seed, _SOLICITED_OVERRIDE, 0)
            advertisement += address(target6) + constants(_TARGET_LINK_LAYER) + address(owner)
            programs[64] = ethernet + advertisement

        place = Signal(range(end))
        fixed = Signal()
        constant = Signal(16)
        with m.Switch(Cat(index, ~headers.arp if self.config.ipv6 else 0)):
            for base, program in programs.items():
                for n, (which, value) in enumerate(program):
                    with m.Case(base + n):
                        if which is None:
                            m.d.comb += [fixed.eq(1), constant.eq(value)]
                        else:
                            m.d.comb += place.eq(which)
        m.d.comb += word.eq(Mux(fixed, constant, words.word_select(place, 16)))
        with m.If(tag == 1):
            m.d.comb += word.eq(EtherType.VLAN)
        with m.Elif(tag == 2):
            m.d.comb += word.eq(headers.vlan_tag)
