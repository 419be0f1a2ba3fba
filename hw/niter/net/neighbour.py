"""Answers to ARP requests and neighbour solicitations."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import ChecksumSlot, FrameMeta, PacketStream

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
    """The answer to a frame that asks for a known neighbour, two bytes a cycle.

    An ARP request becomes the reply (RFC 826), a neighbour solicitation the solicited
    advertisement with the target's link-layer address (RFC 4861, 4.4), with the question's VLAN
    tag if it had one. The advertisement's checksum is left to the buffer behind: its place holds
    what the pseudo-header adds to the addresses.

    A beat takes four cycles, for one word of 16 bits at a time is much less than four.

    Parameters
    ----------
    ipv6
        Whether there are solicitations.

    Members
    -------
    meta : In(FrameMeta)
        The question's.
    run : In(1)
        Make the answer; low before the next one. The data of ``o`` is zero while it is low.
    o : Out(PacketStream)
        The answer.
    length : Out(14)
        Bytes of the answer.
    checksum : Out(ChecksumSlot)
        What is to be filled in.
    """

    meta: In(FrameMeta)
    run: In(1)
    o: Out(PacketStream)
    length: Out(14)
    checksum: Out(ChecksumSlot)

    #: Steps at which a tag stands, which a question without one leaves out.
    _TAG = 6

    def __init__(self, *, ipv6: bool):
        self.ipv6 = ipv6
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        headers = self.meta.headers
        programs = self._programs()
        long = ~headers.arp if self.ipv6 else Const(0, 1)
        at = Signal(6)
        lane = Signal(2)
        step = Signal()
        m.d.comb += [
            step.eq(self.run & (~self.o.valid | self.o.ready)),
            # Two bytes or six stand in the last beat.
            self.o.payload.empty.eq(Mux(self.o.payload.last, Mux(long ^ headers.vlan, 2, 6), 0)),
            # Written as choices: sums of constants would be adders.
            self.length.eq(Mux(long, Mux(headers.vlan, 90, 86), Mux(headers.vlan, 46, 42))),
            # From the source address on; ARP has none.
            self.checksum.enable.eq(long),
            self.checksum.start.eq(Mux(headers.vlan, 26, 22)),
            self.checksum.position.eq(Mux(headers.vlan, 60, 56)),
        ]

        # A word is a constant, or one of few others. Each of them has a register that is reset when
        # it is not its turn: that costs no LUT, and all of them together less than a choice.
        constant = Signal(16)
        turns: dict[str, tuple[Value, Signal]] = {}
        with m.Switch(Cat(at, long)):
            for base, program in programs.items():
                for place, word in enumerate(program, base << len(at)):
                    with m.Case(place):
                        if isinstance(word, int):
                            m.d.comb += constant.eq(network_order(word))
                        else:
                            _, turn = turns.setdefault(repr(word), (word, Signal()))
                            m.d.comb += turn.eq(1)
                # A beat is whole some steps behind the last word, never right behind it.
                end = len(program) + (base << len(at))
                with m.Case(*(end + n for n in range(2, 5))):
                    m.d.comb += self.o.payload.last.eq(1)
        fixed = Signal(16)
        with m.If(step):
            m.d.sync += fixed.eq(constant)
        word: Value = fixed
        for number, (source, turn) in enumerate(turns.values()):
            register = Signal(16, name=f"word_{number}")
            with m.If(~self.run | (step & ~turn)):
                m.d.sync += register.eq(0)
            with m.Elif(step):
                m.d.sync += register.eq(network_order(source))
            word |= register

        with m.If(step):
            m.d.sync += [
                self.o.payload.data.eq(Cat(self.o.payload.data[16:], word)),
                self.o.valid.eq((lane == 3) & (at != 0)),
                lane.eq(lane + 1),
                at.eq(at + 1),
            ]
            with m.If((at == self._TAG - 1) & ~headers.vlan):
                m.d.sync += at.eq(self._TAG + 2)
        # The first step chooses a word; from the second on one is added to the beat.
        with m.If(~self.run):
            m.d.sync += [self.o.valid.eq(0), self.o.payload.data.eq(0), lane.eq(3), at.eq(0)]
        return m

    def _programs(self):
        """The words of an ARP reply and of an advertisement, most significant byte first."""
        meta = self.meta
        headers = meta.headers
        asker, owner = _words(headers.source), _words(meta.neighbour)
        ethernet = [*asker, *owner, EtherType.VLAN.value, headers.vlan_tag]
        arp = [EtherType.ARP.value, 1, EtherType.IPV4.value, 0x0604, 2, *owner]
        arp += [*_words(headers.ip_destination[:32]), *asker, *_words(headers.ip_source[:32])]
        programs = {0: ethernet + arp}
        if self.ipv6:
            target = _words(headers.nd_target)
            advertisement = [EtherType.IPV6.value, 0x6000, 0, 32, IpProtocol.ICMPV6 << 8 | 255]
            advertisement += [*target, *_words(headers.ip_source)]
            # In the checksum's place: what the pseudo-header adds to the addresses.
            advertisement += [_ADVERTISEMENT, IpProtocol.ICMPV6 + 32, _SOLICITED_OVERRIDE, 0]
            advertisement += [*target, _TARGET_LINK_LAYER, *owner]
            programs[1] = ethernet + advertisement
        return programs


def _words(value):
    return [value.word_select(n, 16) for n in reversed(range(len(value) // 16))]
