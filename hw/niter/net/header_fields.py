"""What a frame adds to the outer header that its tunnel's record and template make."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, FrameMeta

from .neighbour import network_order
from .protocol import IpProtocol
from .stage import add_carry

__all__ = ["HeaderFields"]


class HeaderFields(wiring.Component):
    """Makes the fields of an outer header that vary from frame to frame, beat by beat: DSCP and
    ECN, lengths, checksums, source port, VNI.

    The fields of a beat stand in ``patch`` in the cycle after ``take`` with its number ``at``, zero
    everywhere else, so that they are joined with the rest of the header by OR.

    Parameters
    ----------
    ipv6
        Whether there are tunnels over IPv6.

    Members
    -------
    meta : In(FrameMeta)
        The frame, while its header is made. Of it count ``length``, ``hash``, ``vni`` and
        ``headers.tos``.
    described, partial : In(1), In(16)
        Begin: the sum of the IPv4 header's constant words, see ``Descriptor``.
    over_ipv6, checksum : In(1), In(1)
        What the tunnel runs over, and whether it wants the UDP checksum: from the cycle after
        ``described``.
    at : In(4)
        Number of the header's beat, counting from 0.
    step : In(1)
        ``at`` moves on; with beat 3 the IPv4 header's checksum is known.
    take : In(1)
        The fields of beat ``at`` are to stand in ``patch``.
    patch : Out(64)
        The fields, first byte lowest.
    """

    meta: In(FrameMeta)
    described: In(1)
    partial: In(16)
    over_ipv6: In(1)
    checksum: In(1)
    at: In(4)
    step: In(1)
    take: In(1)
    patch: Out(64)

    def __init__(self, *, ipv6: bool):
        self.ipv6 = ipv6
        super().__init__()
        # The frame's length and what a field counts beside it.
        self._total = Signal(16)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        checksum = self._sum(m)
        fields = self._fields(m, checksum)
        seeds = [(5, 0), (5, 1), (16 + 7, 4), (16 + 7, 5)]
        place = Cat(self.at, self.over_ipv6)
        for lane in range(BEAT_BYTES):
            speaks = Signal(name=f"speaks_{lane}")
            byte = Signal(8, name=f"byte_{lane}")
            with m.Switch(place):
                for beat, places in fields.items():
                    for first, value in places:
                        low = 8 * (lane - first)
                        if 0 <= low < len(value):
                            with m.Case(beat):
                                m.d.comb += speaks.eq(self.checksum if (beat, lane) in seeds else 1)
                                m.d.comb += byte.eq(value[low : low + 8])
            with m.If(self.take & ~speaks):
                m.d.sync += self.patch.word_select(lane, 8).eq(0)
            with m.Elif(self.take):
                m.d.sync += self.patch.word_select(lane, 8).eq(byte)
        return m

    def _sum(self, m):
        """The sum of the IPv4 header's words, right with its beat 3."""
        checksum = Signal(17)
        summand = Signal(16)
        with m.If(self.step):
            m.d.sync += [
                # Each beat folds the carry of the one before.
                checksum.eq(add_carry(checksum[:16], summand, checksum[16])),
                summand.eq(0),
            ]
            with m.If(self.at == 0):
                m.d.sync += summand.eq(self._total)
        with m.If(self.described):
            m.d.sync += [checksum.eq(self.partial), summand.eq(self.meta.headers.tos)]
        return checksum[:16]

    def _fields(self, m, checksum):
        """By beat, and 16 more over IPv6: the first lane of a field, and its bytes."""
        meta = self.meta
        tos = meta.headers.tos
        # Lengths: of the IPv4 datagram, of the UDP datagram; and the latter with the
        # protocol number, which is what the pseudo-header adds to the addresses.
        beyond = Signal(6)
        seed = Signal(16)
        m.d.comb += [beyond.eq(16), self._total.eq(meta.length + beyond)]
        with m.Switch(self.at):
            with m.Case(0):
                m.d.comb += beyond.eq(36)
            with m.Case(2), m.If(~self.over_ipv6):
                m.d.comb += beyond.eq(36)
            with m.Case(5):
                m.d.comb += beyond.eq(16 + IpProtocol.UDP)
                with m.If(self.take):
                    m.d.sync += seed.eq(self._total)
        total, vni = network_order(self._total), meta.vni
        source = network_order(0xC000 | meta.hash[:14])
        fields: dict[int, list] = {
            1: [(7, tos)],
            2: [(0, total)],
            3: [(0, network_order(~checksum))],
            4: [(2, source), (6, total)],
            5: [(0, total), (6, Cat(vni[16:], vni[8:16]))],
            6: [(0, vni[:8])],
        }
        fields6: dict[int, list] = {
            1: [(6, tos[4:]), (7, tos[:4] << 4)],
            2: [(2, total)],
            6: [(6, source)],
            7: [(2, total), (4, network_order(seed))],
            8: [(2, Cat(vni[16:], vni[8:16], vni[:8]))],
        }
        if self.ipv6:
            fields |= {16 + beat: places for beat, places in fields6.items()}
        return fields
