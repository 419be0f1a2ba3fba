"""Frames that come in: the peer's, with the transport's inside, lose their outer header."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.storage.aoe.codec import ETHERTYPE
from niter.stream import Fifo, HeaderRemove

from .layouts import OUTER_BYTES, Expected, Short, network

__all__ = ["Inward"]

#: The inner EtherType stands at byte 62.
_LOOKED_AT = 8
_IPV4, _UDP, _VXLAN = 0x0800, 17, 4789


class Inward(wiring.Component):
    """Takes the outer header away from AoE frames that the peer has sent through the tunnel.

    That is: IPv4 without options or fragments, from the peer to the card, UDP to VXLAN's port, the
    network's identifier, and inside the EtherType of AoE. Everything else passes as it is: steering
    behind this knows what to do with it. The MAC has checked the frame, and nobody the checksums.

    Latency 5 cycles for what is no IPv4, 11 for what is.

    Members
    -------
    i, o : In(stream.Signature(Short)), Out(stream.Signature(Short))
        Frames.
    expected : In(Expected)
        What they must say.
    """

    i: In(stream.Signature(Short))
    o: Out(stream.Signature(Short))
    expected: In(Expected)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.waiting = waiting = Fifo(Short, 16)
        m.submodules.remove = remove = HeaderRemove(Short, lengths=[0, OUTER_BYTES])
        connect(m, remove.o, flipped(self.o))

        # The frame that arrives, whose beats wait until it is known what it is.
        beat = Signal(range(_LOOKED_AT))
        looking = Signal(init=1)
        fits, before = Signal(), Signal(init=1)
        known, arrived, stalled, take = Signal(), Signal(), Signal(), Signal()
        packet = self.i.payload.packet
        decides = looking & (~fits | (beat == _LOOKED_AT - 1) | packet.last)
        transfer = self.i.valid & self.i.ready
        m.d.comb += [
            fits.eq(before & self._fits(packet.data, beat)),
            stalled.eq(decides & known & ~take),
            waiting.i.payload.eq(self.i.payload),
            waiting.i.valid.eq(self.i.valid & ~stalled),
            self.i.ready.eq(waiting.i.ready & ~stalled),
        ]
        with m.If(take):
            m.d.sync += known.eq(0)
        with m.If(transfer):
            m.d.sync += [beat.eq(beat + looking), before.eq(fits)]
            with m.If(decides):
                m.d.sync += [
                    known.eq(1),
                    arrived.eq(fits & (beat == _LOOKED_AT - 1)),
                    looking.eq(0),
                ]
            with m.If(packet.last):
                m.d.sync += [beat.eq(0), looking.eq(1), before.eq(1)]

        # The frame that leaves.
        inside, strips = Signal(), Signal()
        o = waiting.o.payload
        m.d.comb += [
            take.eq(known & ~inside),
            remove.length.eq(Mux(strips, OUTER_BYTES, 0)),
            remove.i.payload.packet.eq(o.packet),
            remove.i.payload.length.eq(o.length - Mux(strips, OUTER_BYTES, 0)),
            remove.i.payload.port.eq(o.port),
            remove.i.valid.eq(waiting.o.valid & inside),
            waiting.o.ready.eq(remove.i.ready & inside),
        ]
        with m.If(take):
            m.d.sync += [inside.eq(1), strips.eq(arrived)]
        with m.If(waiting.o.valid & waiting.o.ready & o.packet.last):
            m.d.sync += inside.eq(0)
        return m

    def _fits(self, word, beat):
        """This beat is one of a frame for the tunnel."""
        expected = self.expected
        ipv4 = (network(word, 4, 2) == _IPV4) & (word[48:56] == 0x45)
        whole = ((network(word, 4, 2) & 0x3FFF) == 0) & (word[56:] == _UDP)
        addresses = (word[16:48] == expected.peer) & (word[48:] == expected.own[:16])
        ports = (word[:16] == expected.own[16:]) & (network(word, 4, 2) == _VXLAN)
        # The flag that says that there is an identifier.
        flagged = word[19] & (word[48:] == expected.vni[:16])
        tests = {
            1: ipv4,
            2: whole,
            3: addresses,
            4: ports,
            5: flagged,
            6: word[:8] == expected.vni[16:],
            7: network(word, 6, 2) == ETHERTYPE,
        }
        choice = True
        for number, test in tests.items():
            choice = Mux(beat == number, test, choice)
        return choice
