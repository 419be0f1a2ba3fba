"""The way into the receiver: whole frames, for which there is room, in a buffer."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.compare import below, less
from niter.count import stepped
from niter.interface import FrameStream
from niter.stream import Fifo

from .codec import HEADER_BYTES, RECEIVE_UNIT

__all__ = ["Intake", "IntakeWord"]

#: A number of sectors for frames that do not carry whole ones.
_UNEVEN = 31


class IntakeWord(data.Struct):
    """A beat in the receive buffer. Only a frame's last beat has ``empty`` lanes, and what it
    says of sectors is put beside the others."""

    data: 64
    last: 1
    error: 1
    sectors: 5


class Intake(wiring.Component):
    """Keeps frames until their turn.

    A frame begins to be taken when the buffer has room for it; one that is longer than the buffer
    has to find it empty. Latency 3 cycles.

    Parameters
    ----------
    depth
        Beats of the buffer, a power of two from 64 up.

    Members
    -------
    i : In(FrameStream)
        Frames. Meta: ``length``.
    o : Out(stream.Signature(IntakeWord))
        Their beats.
    """

    def __init__(self, depth: int):
        if depth < 64 or depth & (depth - 1):
            raise ValueError(f"Beats are a power of two from 64 up, not {depth!r}")
        self.depth = depth
        super().__init__({"i": In(FrameStream), "o": Out(stream.Signature(IntakeWord))})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.buffer = buffer = Fifo(IntakeWord, self.depth)
        connect(m, buffer.o, flipped(self.o))
        i, word = self.i.payload, buffer.i.payload
        length = i.meta.length
        # Behind a header, which is shorter than a sector.
        rest, sectors = length[:9], Signal(5)
        m.d.comb += sectors.eq(length[9:] - below(rest, HEADER_BYTES))
        # Less than a sector is none: a short frame is filled up.
        none = ~sectors.any()
        whole = (rest == HEADER_BYTES) & (sectors <= 16)
        # Beats that are free, but for a few, which a full buffer has not got.
        free = Signal(signed(len(buffer.level) + 1), init=self.depth - RECEIVE_UNIT)
        room, inside = Signal(), Signal()
        comes, goes = (port.valid & port.ready for port in (buffer.i, buffer.o))
        m.d.sync += free.eq(stepped(free, [goes], [comes]))
        empty = ~free[-1] & ~below(free[:-1], self.depth - 2 * RECEIVE_UNIT + 1)
        m.d.comb += [
            room.eq(less(length[3:], free) | empty),
            word.data.eq(i.packet.data),
            word.last.eq(i.packet.last),
            word.error.eq(i.packet.error),
            word.sectors.eq(Mux(none | whole, sectors, _UNEVEN)),
            buffer.i.valid.eq(self.i.valid & (inside | room)),
            self.i.ready.eq(buffer.i.ready & (inside | room)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += inside.eq(~i.packet.last)
        return m
