"""Byte realignment on transmit: pieces of any length become one packed packet."""

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

    Each piece starts at lane 0 and has any length; its bytes are rotated to where the
    packet stands and merged with up to seven bytes kept from before. Behind a piece that
    ends in error nothing more is passed on of its packet; when all its pieces have come, the
    packet ends with ``error``, shorter than it would have been.

    One input beat is taken a cycle. A packet whose last bytes do not fit into the beat of
    its last input beat takes one cycle more. Latency is one cycle.

    Parameters
    ----------
    lead
        Lanes left unused in the first output beat, 0 to 7. What they hold is undefined.

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
        beat = self.i.payload.packet

        # Bytes in ``kept``, and in kept and the input beat together.
        count = Signal(3, init=self.lead)
        total = Signal(4)
        m.d.comb += total.eq(count + Mux(beat.last, 7 - beat.empty, 7))  # one less than the sum
        overflow = total[3]
        full = Signal()
        m.d.comb += full.eq(total >= 7)

        kept = Signal(64)
        rotated = Signal(64)
        merged = Signal(64)
        stage = beat.data
        for bit in range(3):
            stage = Mux(count[bit], stage.rotate_left(8 << bit), stage)
        m.d.comb += rotated.eq(stage)
        lanes = [slice(8 * lane, 8 * lane + 8) for lane in range(BEAT_BYTES)]
        fresh = [Signal(name=f"fresh_{lane}") for lane in range(BEAT_BYTES)]
        for lane, bits in enumerate(lanes):
            m.d.comb += [
                fresh[lane].eq(lane >= count),
                merged[bits].eq(Mux(fresh[lane], rotated[bits], kept[bits])),
            ]

        vacant = Signal()
        take = Signal()
        end = Signal()
        m.d.comb += [
            vacant.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            end.eq(beat.last & self.i.payload.final),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        with m.FSM():
            with m.State("Join"):
                m.d.comb += self.i.ready.eq(vacant)
                with m.If(take):
                    m.d.sync += [
                        self.o.valid.eq((full & ~beat.error) | end),
                        self.o.p.data.eq(merged),
                        self.o.p.last.eq(end & (~overflow | beat.error)),
                        self.o.p.error.eq(end & beat.error),
                        self.o.p.empty.eq(Mux(end & ~overflow, 7 - total[:3], 0)),
                        count.eq(total + 1),
                    ]
                    for lane, bits in enumerate(lanes):
                        with m.If(full | fresh[lane]):
                            m.d.sync += kept[bits].eq(rotated[bits])
                    with m.If(end):
                        with m.If(~beat.error & overflow):
                            m.next = "Flush"
                        with m.Else():
                            m.d.sync += count.eq(self.lead)
                    with m.If(beat.last & beat.error & ~self.i.payload.final):
                        m.next = "Swallow"
            with m.State("Flush"), m.If(vacant):
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(kept),
                    self.o.p.last.eq(1),
                    self.o.p.error.eq(0),
                    self.o.p.empty.eq(-count),
                    count.eq(self.lead),
                ]
                m.next = "Join"
            with m.State("Swallow"):
                m.d.comb += self.i.ready.eq(vacant)
                with m.If(take & end):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        self.o.p.last.eq(1),
                        self.o.p.error.eq(1),
                        self.o.p.empty.eq(0),
                        count.eq(self.lead),
                    ]
                    m.next = "Join"
        return m
