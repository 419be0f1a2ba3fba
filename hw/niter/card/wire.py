"""The Ethernet ports of a card, as one stream each way."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import FrameBeat, FrameStream
from niter.net.mac import GmiiReceive, GmiiTransmit, Mac, TransmitBuffer
from niter.stream import Arbiter, Demux, SkidBuffer

from .config import CardConfig

__all__ = ["Wire"]

#: What a frame that stays on the card keeps of its meta; see ``niter.net.Overlay``.
_LOCAL_MEMBERS = ("length", "function", "vni", "local", "answer")


class Wire(wiring.Component):
    """A MAC for each port, and on a network card the way back for what stays on the card.

    A frame goes to the port in its meta, or stays where ``local`` is set there; what came from
    the ports is served in turns. A frame on its way out is at its MAC two cycles later.

    The clock domain is ``sync``, and for each port *n* ``gmii<n>_tx`` and ``gmii<n>_rx``.

    Parameters
    ----------
    config
        Of the card.

    Members
    -------
    i : In(FrameStream), o : Out(FrameStream)
        Frames to the ports and from them.
    local : Out(FrameStream)
        Of a card with an overlay: frames that stay, with what the way back needs of their meta.
    transmit : array of Out(GmiiTransmit), receive : array of Out(GmiiReceive)
        The ports.

    Attributes
    ----------
    macs : list of Mac
        With the registers of each, ``csr``.
    """

    def __init__(self, config: CardConfig):
        verify = bool(config.overlay and config.overlay.verify)
        self.macs = [
            Mac(
                port=n,
                frame_bytes=config.frame_bytes,
                sums=verify,
                transmit_domain=f"gmii{n}_tx",
                receive_domain=f"gmii{n}_rx",
            )
            for n in range(config.ports)
        ]
        self._keeps = bool(config.overlay)
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                **({"local": Out(FrameStream)} if self._keeps else {}),
                "transmit": Out(GmiiTransmit).array(config.ports),
                "receive": Out(GmiiReceive).array(config.ports),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        ports = len(self.macs)
        # From the buffers to the stages that a frame waits in is too far for one cycle.
        m.submodules.edge = edge = SkidBuffer(FrameBeat)
        m.submodules.to_ports = to_ports = Demux(FrameBeat, ports + self._keeps)
        m.submodules.from_ports = from_ports = Arbiter(FrameBeat, ports)
        connect(m, flipped(self.i), edge.i)
        connect(m, edge.o, to_ports.i)
        connect(m, from_ports.o, flipped(self.o))
        meta = to_ports.i.payload.meta
        select = Signal(range(ports + self._keeps))
        m.d.comb += [select.eq(meta.port), to_ports.select.eq(select)]
        if self._keeps:
            m.submodules.local = local = TransmitBuffer(self.macs[0].depth, keep=_LOCAL_MEMBERS)
            with m.If(meta.local):
                m.d.comb += select.eq(ports)
            connect(m, to_ports.o[ports], local.i)
            connect(m, local.o, flipped(self.local))
        for n, mac in enumerate(self.macs):
            m.submodules[f"mac_{n}"] = mac
            connect(m, to_ports.o[n], mac.i)
            connect(m, mac.o, from_ports.i[n])
            connect(m, mac.transmit, flipped(self.transmit[n]))
            connect(m, mac.receive, flipped(self.receive[n]))
        return m
