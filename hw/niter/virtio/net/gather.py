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


class _Turning(data.Struct):
    """A beat on its way through the rotation, and what is to be done with it.

    Lanes below ``kept`` (all of them, when it is 8) come from what was left over. With
    ``store`` the other lanes are left over for the next beat, and with ``full`` all are.
    ``emit`` makes an output beat, which ``last``, ``error`` and ``empty`` describe.
    """

    data: 64
    kept: range(BEAT_BYTES + 1)
    store: 1
    full: 1
    emit: 1
    last: 1
    error: 1
    empty: 3


class Gather(wiring.Component):
    """Joins consecutive packets (pieces) into one packet without holes.

    Each piece starts at lane 0 and has any length; its bytes are rotated to where the
    packet stands and merged with up to seven bytes left over from before. Behind a piece
    that ends in error nothing more is passed on of its packet; when all its pieces have
    come, the packet ends with ``error``, shorter than it would have been.

    One input beat is taken a cycle. A packet whose last bytes do not fit into the beat of
    its last input beat takes one cycle more. Latency is 4 cycles: each step of the rotation
    is a register, which costs less than half of the multiplexers of a rotation in one.

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
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        turning = Signal(_Turning)
        self._place(m, advance, turning)

        for bit in reversed(range(3)):
            turned = Signal(_Turning, name=f"turned_{1 << bit}")
            with m.If(advance):
                m.d.sync += turned.eq(turning)
                with m.If(turning.kept[bit]):
                    m.d.sync += turned.data.eq(turning.data.rotate_left(8 << bit))
            turning = turned

        left_over = Signal(64)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(turning.emit),
                self.o.p.last.eq(turning.last),
                self.o.p.error.eq(turning.error),
                self.o.p.empty.eq(turning.empty),
            ]
            for lane in range(BEAT_BYTES):
                fresh = lane >= turning.kept
                old = left_over.word_select(lane, 8)
                new = turning.data.word_select(lane, 8)
                m.d.sync += self.o.p.data.word_select(lane, 8).eq(Mux(fresh, new, old))
                with m.If(turning.store & (turning.full | fresh)):
                    m.d.sync += old.eq(new)
        return m

    def _place(self, m, advance, turning):
        """Work out where the bytes of each input beat go, from their number alone."""
        beat = self.i.payload.packet
        end = beat.last & self.i.payload.final
        kept = Signal(3, init=self.lead)
        failed = Signal()
        error = (beat.last & beat.error) | failed

        # Bytes left over and new ones together, less one.
        total = Signal(4)
        m.d.comb += total.eq(kept + (7 - (beat.empty & beat.last.replicate(3))))
        full = Signal()
        overflow = Signal()
        m.d.comb += [full.eq(total >= 7), overflow.eq(total >= 8), turning.data.eq(beat.data)]

        with m.FSM():
            with m.State("Join"):
                m.d.comb += self.i.ready.eq(advance)
                with m.If(self.i.valid):
                    m.d.comb += [
                        turning.kept.eq(kept),
                        turning.store.eq(1),
                        turning.full.eq(full),
                        turning.emit.eq(end | (full & ~error)),
                        turning.last.eq(end & (error | ~overflow)),
                        turning.error.eq(end & error),
                        turning.empty.eq(Mux(end & ~overflow, 7 - total, 0)),
                    ]
                with m.If(self.i.valid & advance):
                    m.d.sync += [kept.eq(total + 1), failed.eq(error & ~end)]
                    with m.If(end):
                        with m.If(overflow & ~error):
                            m.next = "Flush"
                        with m.Else():
                            m.d.sync += kept.eq(self.lead)
            with m.State("Flush"):
                m.d.comb += [
                    turning.kept.eq(BEAT_BYTES),
                    turning.emit.eq(1),
                    turning.last.eq(1),
                    turning.empty.eq(-kept),
                ]
                with m.If(advance):
                    m.d.sync += kept.eq(self.lead)
                    m.next = "Join"
