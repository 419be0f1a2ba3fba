"""The store-and-forward point before a MAC: frames leave it whole, checksums filled in."""

from collections.abc import Sequence

from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import Beat, FrameMeta, FrameStream
from niter.stream import PacketFifo

from .checksum import SlotSums

__all__ = ["TransmitBuffer"]


class TransmitBuffer(wiring.Component):
    """Stores frames, fills in their checksum slots, and gives them out without a pause.

    A frame that ends in ``error``, or is longer than the buffer, disappears. What stands in
    the slots in the end is told by ``SlotSums``.

    Latency from the last beat in to the first beat out is 5 cycles, 10 for a frame with one slot
    to fill and 13 with two; the input waits until 4 cycles before that. One beat a cycle
    otherwise.

    Parameters
    ----------
    depth
        Beats of storage, as ``PacketFifo`` has them; one less is the longest frame that fits.
    frames
        Frames of storage, a power of two.
    keep
        Members of ``FrameMeta`` that go with the frame. All others are zero at the output.
        With none, a frame comes out a cycle earlier.

    Members
    -------
    i : In(FrameStream)
        Frames.
    o : Out(FrameStream)
        Frames. Once one is offered, its beats follow in each cycle.
    sent : Out(1)
        High for one cycle for each frame that is put into storage; its length is ``length``.
    length : Out(14)
        See ``sent``.
    discarded : Out(1)
        High for one cycle for each frame that is not.
    """

    def __init__(self, depth: int, *, frames: int = 32, keep: Sequence[str] = ("length",)):
        self.depth = depth
        self.frames = frames
        self.keep = tuple(keep)
        meta = data.Layout.cast(FrameMeta)
        kept = {name: meta[name].shape for name in self.keep}
        self._storage = PacketFifo(
            data.StructLayout({"packet": Beat} | kept), depth, packets=frames, amend=True
        )
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                "sent": Out(1),
                "length": Out(14),
                "discarded": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = storage = self._storage
        m.submodules.sums = sums = SlotSums()
        connect(m, flipped(self.i), sums.i)
        m.d.comb += [
            storage.i.valid.eq(sums.o.valid),
            sums.o.ready.eq(storage.i.ready),
            storage.i.payload.packet.eq(sums.o.payload.packet),
            sums.whole.eq(storage.whole),
            storage.patch.valid.eq(sums.patch_valid),
            storage.patch.position.eq(sums.patch_position),
            storage.patch.value.eq(sums.patch_value),
            storage.release.eq(sums.release),
            self.o.valid.eq(storage.o.valid),
            storage.o.ready.eq(self.o.ready),
            self.o.payload.packet.eq(storage.o.payload.packet),
            self.sent.eq(sums.release),
            self.discarded.eq(storage.discarded | storage.overflow),
        ]
        for name in self.keep:
            m.d.comb += [
                storage.i.payload[name].eq(sums.o.payload.meta[name]),
                self.o.payload.meta[name].eq(storage.o.payload[name]),
            ]
        with m.If(storage.i.valid & storage.i.ready):
            m.d.sync += self.length.eq(sums.o.payload.meta.length)
        return m
