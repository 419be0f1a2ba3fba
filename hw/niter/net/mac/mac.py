"""One Ethernet port: a MAC for 1 Gb/s with its frame buffers and registers."""

from amaranth import DomainRenamer, Module, Signal
from amaranth.lib import cdc, data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import BEAT_BYTES, MAX_PACKET_BYTES, Beat, FrameStream
from niter.stream import AsyncFifo, PacketFifo

from .buffer import TransmitBuffer
from .gmii import GmiiReceive, GmiiTransmit, Received, Status
from .receiver import Receiver
from .tally import Counter, Event, Tally
from .transmitter import Transmitter

__all__ = ["Mac"]

#: Beats that may be on their way between the clock domains.
_CROSSING = 16
#: What is counted for a received frame that is not good.
_BAD = {
    Status.BAD_FCS: Counter.RX_BAD_FCS,
    Status.SYMBOL_ERROR: Counter.RX_SYMBOL_ERRORS,
    Status.RUNT: Counter.RX_RUNTS,
    Status.GIANT: Counter.RX_GIANTS,
    Status.CONTROL: Counter.RX_CONTROL_FRAMES,
}


def _depth(beats: int) -> int:
    """Of a buffer for so many beats, which has no more than fit into as many block RAMs."""
    # A beat is as wide as two of 512 rows, or four of 1,024.
    depth = max(512, 1 << ceil_log2(beats))
    return 3 * depth // 4 if depth >= 2048 and beats <= 3 * depth // 4 else depth


class Stored(data.Struct):
    """A received beat on its way through the receive buffer."""

    packet: Beat
    length: 14
    sum: 16


class Mac(wiring.Component):
    """A full-duplex GMII MAC behind frame streams (IEEE 802.3, clauses 4, 31 and 35).

    ``o`` carries good frames only, whole, with ``meta.length`` and ``meta.port``; bad ones
    are counted and dropped, and so are whole frames when the buffer is full: the wire is
    never held back. ``i`` is stored and its checksum slots are filled in (see
    ``TransmitBuffer``) before the frame begins. Received PAUSE frames stop transmission
    between frames (annex 31B); none are sent.

    The component has three clock domains: ``sync``, and those of the two halves of GMII.

    Parameters
    ----------
    port
        Number of the port, 0 to 3: what ``meta.port`` says.
    frame_bytes
        Longest frame without FCS that must pass. Each buffer holds at least one and a quarter:
        while one goes out to the wire, the next comes in four times as fast.
    sums
        Take the sum of each received frame's bytes: ``meta.sums[0]``.
    transmit_domain, receive_domain
        Names of the clock domains of GMII.

    Members
    -------
    i : In(FrameStream)
        Frames for the wire.
    o : Out(FrameStream)
        Frames from the wire.
    transmit : Out(GmiiTransmit), receive : Out(GmiiReceive)
        GMII.
    csr : In(csr.Signature)
        ``control`` and ``counters``.

    Attributes
    ----------
    depth : int
        Beats of each frame buffer.
    """

    class Control(csr.Register, access="rw"):
        """Switches of the port. Change ``longest`` while reception is off."""

        receive: csr.Field(csr.action.RW, 1, doc="Take frames.")
        transmit: csr.Field(csr.action.RW, 1, doc="Send frames.")
        honour_pause: csr.Field(csr.action.RW, 1, init=1, doc="Stop for received PAUSE frames.")
        reserved: csr.Field(csr.action.Reserved, 13)
        longest: csr.Field(
            csr.action.RW, 14, init=1518, doc="Longest frame received, in bytes without FCS."
        )

    def __init__(
        self,
        *,
        port: int = 0,
        frame_bytes: int = 2000,
        sums: bool = False,
        transmit_domain: str = "gmii_tx",
        receive_domain: str = "gmii_rx",
    ):
        if not 0 <= port < 4:
            raise ValueError(f"A port's number is 0 to 3, not {port!r}")
        if not 64 <= frame_bytes <= MAX_PACKET_BYTES:
            raise ValueError(f"Frames have 64 to {MAX_PACKET_BYTES} bytes, not {frame_bytes!r}")
        self.port = port
        self.sums = sums
        self.depth = _depth(5 * (frame_bytes // BEAT_BYTES + 2) // 4)
        self._domains = transmit_domain, receive_domain
        self._control = self.Control()
        builder = csr.Builder(addr_width=0)
        builder.add("control", self._control)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._bank = csr.CounterBank([counter.name.lower() for counter in Counter], doc="Frames.")
        self._decoder = csr.decoder_of({"counters": self._bank.bus, "registers": self._bridge.bus})
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                "transmit": Out(GmiiTransmit),
                "receive": Out(GmiiReceive),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.bridge = self._bridge
        m.submodules.bank = self._bank
        m.submodules.tally = tally = Tally(self._bank)
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, tally.o, self._bank.i)

        sent, received = Signal(Event), Signal(Event)
        sent_now, received_now = Signal(), Signal()
        receiver = self._receive_half(m, received, received_now)
        self._transmit_half(m, receiver, sent, sent_now)

        # Reception cannot wait; what has been sent keeps its event until there is room.
        waiting = Signal(Event)
        occupied = Signal()
        m.d.comb += [
            tally.i.valid.eq(received_now | occupied),
            tally.i.payload.eq(waiting),
        ]
        with m.If(received_now):
            m.d.comb += tally.i.payload.eq(received)
        with m.Elif(tally.i.ready):
            m.d.sync += occupied.eq(0)
        with m.If(sent_now):
            m.d.sync += [waiting.eq(sent), occupied.eq(1)]
        return m

    def _transmit_half(self, m, receiver, event, event_now):
        """From ``i`` to the wire; a received pause crosses from the other clock."""
        domain, receive_domain = self._domains
        m.submodules.buffer = buffer = TransmitBuffer(self.depth, keep=())
        m.submodules.tx_crossing = crossing = AsyncFifo(
            Beat, _CROSSING, i_domain="sync", o_domain=domain
        )
        transmitter = Transmitter()
        m.submodules.transmitter = DomainRenamer(domain)(transmitter)
        connect(m, flipped(self.i), buffer.i)
        connect(m, crossing.o, transmitter.i)
        connect(m, transmitter.gmii, flipped(self.transmit))
        m.submodules.pause = pause = cdc.PulseSynchronizer(receive_domain, domain)
        m.submodules.tx_enable = cdc.FFSynchronizer(
            self._control.f.transmit.data, transmitter.enable, o_domain=domain
        )
        honour = Signal()
        m.submodules.honour = cdc.FFSynchronizer(
            self._control.f.honour_pause.data, honour, o_domain=domain
        )
        m.d.comb += [
            crossing.i.valid.eq(buffer.o.valid),
            crossing.i.payload.eq(buffer.o.payload.packet),
            buffer.o.ready.eq(crossing.i.ready),
            pause.i.eq(receiver.pause_stb),
            transmitter.pause_stb.eq(pause.o & honour),
            transmitter.pause.eq(receiver.pause),
            event_now.eq(buffer.sent | buffer.discarded),
            event.counter.eq(Counter.TX_FRAMES),
            event.with_bytes.eq(buffer.sent),
            event.bytes.eq(Counter.TX_BYTES),
            event.length.eq(buffer.length),
        ]
        with m.If(buffer.discarded):
            m.d.comb += event.counter.eq(Counter.TX_DISCARDED)

    def _receive_half(self, m, event, event_now):
        """From the wire to ``o``; returns the receiver."""
        domain = self._domains[1]
        receiver = Receiver(sums=self.sums)
        m.submodules.receiver = DomainRenamer(domain)(receiver)
        m.submodules.rx_crossing = crossing = AsyncFifo(
            Received, _CROSSING, i_domain=domain, o_domain="sync"
        )
        m.submodules.store = store = PacketFifo(Stored, self.depth, packets=64, drop=True)
        connect(m, flipped(self.receive), receiver.gmii)
        connect(m, receiver.o, crossing.i)
        m.submodules.rx_enable = cdc.FFSynchronizer(
            self._control.f.receive.data, receiver.enable, o_domain=domain
        )
        m.submodules.longest = cdc.FFSynchronizer(
            self._control.f.longest.data, receiver.longest, o_domain=domain
        )

        beat, status = crossing.o.payload.packet, crossing.o.payload.status
        beats = Signal(11)
        first = Signal(init=1)
        multicast = Signal()
        ended = Signal()
        m.d.comb += [
            store.i.valid.eq(crossing.o.valid),
            crossing.o.ready.eq(1),
            store.i.payload.packet.eq(beat),
            store.i.payload.length.eq((beats + 1) * BEAT_BYTES - beat.empty),
            store.i.payload.sum.eq(crossing.o.payload.sum),
            self.o.valid.eq(store.o.valid),
            self.o.payload.packet.eq(store.o.payload.packet),
            self.o.payload.meta.length.eq(store.o.payload.length),
            self.o.payload.meta.port.eq(self.port),
            self.o.payload.meta.sums[0].eq(store.o.payload.sum),
            store.o.ready.eq(self.o.ready),
        ]
        # One cycle after a frame's end it is known whether there was room for it.
        outcome = Signal(Status)
        length = Signal(14)
        m.d.sync += ended.eq(0)
        with m.If(crossing.o.valid):
            m.d.sync += [beats.eq(beats + 1), first.eq(beat.last)]
            with m.If(first):
                m.d.sync += multicast.eq(beat.data[0])
            with m.If(beat.last):
                m.d.sync += [
                    beats.eq(0),
                    ended.eq(1),
                    outcome.eq(status),
                    length.eq(store.i.payload.length),
                ]
        m.d.comb += [event.length.eq(length), event_now.eq(ended), event.bytes.eq(Counter.RX_BYTES)]
        with m.Switch(outcome):
            for bad, counter in _BAD.items():
                with m.Case(bad):
                    m.d.comb += event.counter.eq(counter)
            with m.Default():
                m.d.comb += [
                    event.counter.eq(Counter.RX_UNICAST_FRAMES),
                    event.with_bytes.eq(1),
                ]
                with m.If(multicast):
                    m.d.comb += event.counter.eq(Counter.RX_MULTICAST_FRAMES)
                with m.If(store.overflow):
                    m.d.comb += [
                        event.counter.eq(Counter.RX_OVERFLOWS),
                        event.with_bytes.eq(0),
                    ]
        return receiver
