"""Joining: pieces that begin where the ones before ended become one packet."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BEAT_BYTES, Beat, PacketStream

__all__ = ["Gather", "Piece"]


class Piece(data.Struct):
    """One beat of a piece; ``final`` marks the beats of the last piece of a packet."""

    packet: Beat
    final: 1


class Gather(wiring.Component):
    """Joins consecutive packets (pieces) into one packet without holes.

    The first piece of a packet begins at lane ``lead``, and each further one at the lane
    behind the last byte of the one before: so no byte changes its lane. A beat that a piece
    fills in part waits in the output register for the rest. Behind a piece that ends in error
    nothing more is passed on of its packet; when all its pieces have come, the packet ends
    with ``error``, shorter than it would have been.

    One beat a cycle, latency 1 cycle.

    Parameters
    ----------
    lead
        Lanes left unused in the first beat, 0 to 7. What they hold is undefined.

    Members
    -------
    i : In(stream.Signature(Piece))
        The pieces.
    o : Out(PacketStream)
        The packets.
    """

    def __init__(self, lead: int = 0):
        if lead not in range(BEAT_BYTES):
            raise ValueError(f"Lead must be 0 to {BEAT_BYTES - 1} bytes, not {lead!r}")
        self.lead = lead
        super().__init__({"i": In(stream.Signature(Piece)), "o": Out(PacketStream)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        beat = self.i.p.packet
        end = beat.last & self.i.p.final
        kept = Signal(3, init=self.lead)
        failed = Signal()
        error = Signal()
        whole = ~beat.last | (beat.empty == 0)
        m.d.comb += [
            error.eq((beat.last & beat.error) | failed),
            self.i.ready.eq(~self.o.valid | self.o.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & (end | (whole & ~error))),
                self.o.p.last.eq(end),
                self.o.p.error.eq(end & error),
                self.o.p.empty.eq(Mux(end, beat.empty, 0)),
            ]
            # What is kept of the lanes below is what the piece before has left there.
            for lane in range(BEAT_BYTES):
                with m.If(lane >= kept):
                    byte = beat.data.word_select(lane, 8)
                    m.d.sync += self.o.p.data.word_select(lane, 8).eq(byte)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                failed.eq(error & ~end),
                kept.eq(Mux(end, self.lead, -(beat.empty & beat.last.replicate(3)))),
            ]
        return m
