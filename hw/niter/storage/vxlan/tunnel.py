"""The tunnel's two directions, and what control says of it."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter import csr
from niter.interface import FrameStream

from .inward import Inward
from .layouts import OUTER_BYTES, TEMPLATE_WORDS, Expected, note
from .outward import Outward

__all__ = ["OUTER_BYTES", "Tunnel"]


class Tunnel(wiring.Component):
    """Carries the block transport's frames of one more port inside VXLAN, over port 0.

    ::

        transport ── o: outer header in front of frames of port ``way`` ── steering
        wire ─────── o: outer header of the peer's AoE frames away ─────── steering

    There is one peer, and one network, which is no port's. Control writes the whole outer header,
    50 bytes, as it is on the wire (see ``Outward`` for the IPv4 checksum); who answers must have it
    the other way round. Who sends such frames must find the card's MAC address by itself: ARP for
    the card's address is the management listener's.

    Parameters
    ----------
    way
        Port of the transport that is the tunnel.

    Members
    -------
    i_storage, o_storage : In(FrameStream), Out(FrameStream)
        From the transport, and on to the wire. Meta: ``length``, ``port``.
    i_wire, o_wire : In(FrameStream), Out(FrameStream)
        From the wire, and on to steering. Meta: ``length``, ``port``.
    csr : In(csr.Signature)
        The template's words.
    """

    def __init__(self, way: int):
        if not 1 <= way <= 3:
            raise ValueError(f"The tunnel is one of the ports 1 to 3, not {way!r}")
        self.way = way
        memory_map = csr.MemoryMap(addr_width=4)
        memory_map.add_resource(
            csr.WordArray(
                TEMPLATE_WORDS, "The outer header: the wire's first byte lowest; two bytes unused."
            ),
            name="words",
            size=TEMPLATE_WORDS,
        )
        super().__init__(
            {
                "i_storage": In(FrameStream),
                "o_storage": Out(FrameStream),
                "i_wire": In(FrameStream),
                "o_wire": Out(FrameStream),
                "csr": In(csr.Signature(addr_width=memory_map.addr_width)),
            }
        )
        self.csr.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.outward = outward = Outward(self.way)
        m.submodules.inward = inward = Inward()
        m.d.comb += [
            outward.write.en.eq(self.csr.w_stb),
            outward.write.addr.eq(self.csr.addr),
            outward.write.data.eq(self.csr.w_data),
        ]
        expected = Signal(Expected)
        note(m, outward.write, expected)
        m.d.comb += inward.expected.eq(expected)
        for stage, i, o in (
            (outward, self.i_storage, self.o_storage),
            (inward, self.i_wire, self.o_wire),
        ):
            self._shorten(m, i, stage.i)
            self._lengthen(m, stage.o, o)
        return m

    @staticmethod
    def _shorten(m, frame, short):
        meta = frame.payload.meta
        m.d.comb += [
            short.payload.packet.eq(frame.payload.packet),
            short.payload.length.eq(meta.length),
            short.payload.port.eq(meta.port),
            short.valid.eq(frame.valid),
            frame.ready.eq(short.ready),
        ]

    @staticmethod
    def _lengthen(m, short, frame):
        meta = frame.payload.meta
        m.d.comb += [
            frame.payload.packet.eq(short.payload.packet),
            meta.length.eq(short.payload.length),
            meta.port.eq(short.payload.port),
            frame.valid.eq(short.valid),
            short.ready.eq(frame.ready),
        ]
