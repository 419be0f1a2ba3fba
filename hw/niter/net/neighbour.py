"""Answers to ARP requests and neighbour solicitations."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.interface import ChecksumSlot, FrameMeta

from .protocol import EtherType, IpProtocol

__all__ = ["Answer", "network_order"]

#: ICMPv6 neighbour advertisement, and its flags solicited and override.
_ADVERTISEMENT = 136 << 8
_SOLICITED_OVERRIDE = 0x6000
#: The option for a target's link-layer address, of eight bytes.
_TARGET_LINK_LAYER = 0x0201


def network_order(value: Any) -> Value:
    """A number of 16 bits, or one that is made so, as it stands in byte lanes."""
    value = Const(value, 16) if isinstance(value, int) else Cat(value, Const(0, 16))[:16]
    return Cat(value[8:], value[:8])


class Answer(wiring.Component):
    """The beats of the answer to a frame that asks for a known neighbour.

    An ARP request becomes the reply (RFC 826), a neighbour solicitation the solicited
    advertisement with the target's link-layer address (RFC 4861, 4.4). The advertisement's checksum
    is left to the buffer behind: its place holds what the pseudo-header adds to the addresses.
    A VLAN tag is not in these beats. Combinational.

    Parameters
    ----------
    ipv6
        Whether there are solicitations.

    Members
    -------
    meta : In(FrameMeta)
        The question's.
    at : In(4)
        Which beat is wanted.
    beat : Out(64)
        That beat.
    last : Out(1)
        It is the last one.
    long : Out(1)
        The last beat has six bytes (an advertisement); otherwise it has two.
    length : Out(14)
        Bytes of the answer, with the tag of the question.
    checksum : Out(ChecksumSlot)
        What is to be filled in.
    """

    def __init__(self, *, ipv6: bool):
        self.ipv6 = ipv6
        super().__init__(
            {
                "meta": In(FrameMeta),
                "at": In(4),
                "beat": Out(64),
                "last": Out(1),
                "long": Out(1),
                "length": Out(14),
                "checksum": Out(ChecksumSlot),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        meta = self.meta
        headers = meta.headers
        asker, owner = _words(headers.source), _words(meta.neighbour)
        ethernet = [*asker, *owner]
        arp = [EtherType.ARP, 1, EtherType.IPV4, 0x0604, 2, *owner]
        arp += [*_words(headers.ip_destination[:32]), *asker, *_words(headers.ip_source[:32])]
        programs = {0: ethernet + arp}
        if self.ipv6:
            target = _words(headers.nd_target)
            advertisement = [EtherType.IPV6, 0x6000, 0, 32, IpProtocol.ICMPV6 << 8 | 255]
            advertisement += [*target, *_words(headers.ip_source)]
            # In the checksum's place: what the pseudo-header adds to the addresses.
            advertisement += [_ADVERTISEMENT, IpProtocol.ICMPV6 + 32, _SOLICITED_OVERRIDE, 0]
            advertisement += [*target, _TARGET_LINK_LAYER, *owner]
            programs[16] = ethernet + advertisement
            m.d.comb += self.long.eq(~headers.arp)

        tag_bytes = headers.vlan << 2
        m.d.comb += [
            self.last.eq(self.at == Mux(self.long, 10, 5)),
            self.length.eq(Mux(self.long, 86, 42) + tag_bytes),
            # From the source address on; ARP has none.
            self.checksum.enable.eq(self.long),
            self.checksum.start.eq(22 + tag_bytes),
            self.checksum.position.eq(56 + tag_bytes),
        ]
        # Few words ever stand in one lane: a small number says which, for each lane.
        for lane in range(4):
            options: list[Value] = []
            which = Signal(4, name=f"which_{lane}")
            with m.Switch(Cat(self.at, self.long)):
                for base, program in programs.items():
                    for beat, word in enumerate(program[lane::4]):
                        word = network_order(word)
                        same = [n for n, other in enumerate(options) if repr(other) == repr(word)]
                        if not same:
                            options.append(word)
                        with m.Case(base + beat):
                            m.d.comb += which.eq(same[0] if same else len(options) - 1)
            chosen = Cat(options).word_select(which[: ceil_log2(len(options))], 16)
            m.d.comb += self.beat.word_select(lane, 16).eq(chosen)
        return m


def _words(value):
    return [value.word_select(n, 16) for n in reversed(range(len(value) // 16))]
