"""The virtio network device of all functions."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameStream, FunctionPort, HostRead, HostWrite, MailboxPort
from niter.stream import Arbiter, Demux
from niter.virtio.features import NetFeature
from niter.virtio.pci import Transport
from niter.virtio.queue import QueueEngine
from niter.virtio.queue.layouts import Fault, Segment, Used

from .config import NetConfig, net_device
from .control import Control
from .counters import FrameCounters
from .filter import Filter
from .layouts import receive_queue
from .multiqueue import Multiqueue
from .receive import Receive
from .transmit import Transmit

__all__ = ["VirtioNet"]


class VirtioNet(wiring.Component):
    """Network functions that stock virtio-net drivers run, over one engine and one datapath.

    The transport has the registers, the queue engine the rings, and the movers the payload;
    control queues go to a component of their own. A reset of a function disables its queues,
    and each queue is done with when its chains have come back: frames under way leave as
    they are, or in error when the PCIe room already refuses their function's reads.

    Parameters
    ----------
    functions
        1 to 4.
    pairs
        Queue pairs of each function, 1 to 4.
    queue_size
        Largest queue that a driver may choose, a power of two up to 1024.
    services
        Firmware answers the control queue, and says which frames drivers want.

    Members
    -------
    function : In(FunctionPort)
        Register accesses and resets of functions 0 to ``functions - 1``.
    read : Out(HostRead), three of them
        Rings, transmit payload, control commands.
    write : Out(HostWrite), four of them
        Rings and queue interrupts, receive payload, control answers, configuration
        interrupts. Accesses are ordered across them as ``niter.interface.memory`` says.
    tx : Out(FrameStream)
        Frames from the drivers.
    rx : In(FrameStream)
        Frames for the drivers; never held up by a function that has no buffers.
    mailbox : Out(MailboxPort)
        With ``services``: control commands for the firmware.
    csr : In(csr.Signature)
        ``config``: the configuration structures. ``counters``: frames by function. With
        ``services`` also ``filter``: the receive modes.

    Attributes
    ----------
    kind : DeviceKind
        What each function declares to the PCIe room.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    def __init__(
        self,
        functions: int = 4,
        pairs: int = 4,
        queue_size: int = 256,
        *,
        services: bool = False,
    ):
        if not 1 <= functions <= 4:
            raise ValueError(f"A network device has 1 to 4 functions, not {functions!r}")
        if not 1 <= pairs <= 4:
            raise ValueError(f"A function has 1 to 4 queue pairs, not {pairs!r}")
        self.functions = functions
        self.pairs = pairs
        self.services = services
        self.kind = net_device(pairs, queue_size, services=services)
        self._config = NetConfig()
        self._counters = FrameCounters(functions)
        self._decoder = csr.Decoder(addr_width=self._counters.csr.addr_width + 1)
        self._decoder.add(self._counters.csr, name="counters", addr=0)
        self._decoder.add(self._config.csr, name="config")
        self._filter = Filter(functions) if services else None
        if services:
            self._decoder.add(self._filter.csr, name="filter")
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(3),
                "write": Out(HostWrite).array(4),
                "tx": Out(FrameStream),
                "rx": In(FrameStream),
                **({"mailbox": Out(MailboxPort)} if services else {}),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.config = config = self._config
        m.submodules.counters = counters = self._counters
        m.submodules.decoder = self._decoder
        m.submodules.transport = transport = Transport(self.kind, self.functions)
        pulled = tuple(receive_queue(pair) for pair in range(self.pairs))
        control_queue = receive_queue(self.pairs)
        holdable = (control_queue,) if self.services else None
        m.submodules.engine = engine = QueueEngine(self.functions, pulled, holdable)
        m.submodules.transmit = transmit = Transmit()
        m.submodules.receive = receive = Receive()
        if self.services:
            control = Control(self.pairs, functions=self.functions)
        else:
            control = Multiqueue(self.pairs)
        m.submodules.control = control
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.function), transport.function)
        connect(m, config.config, transport.config)

        # Life of the queues.
        connect(m, transport.commands, engine.commands)
        connect(m, engine.commands_done, transport.commands_done)
        connect(m, transport.notifications, engine.notifications)
        m.submodules.faults = faults = Arbiter(Fault, 2, packet=False)
        connect(m, engine.faults, faults.i[0])
        connect(m, receive.faults, faults.i[1])
        connect(m, faults.o, transport.faults)

        # Chains to the movers and back.
        m.submodules.segments = segments = Demux(Segment, 2)
        connect(m, engine.segments, segments.i)
        connect(m, segments.o[0], transmit.i)
        connect(m, segments.o[1], control.i)
        m.d.comb += segments.select.eq(engine.segments.p.queue.index == control_queue)
        connect(m, receive.take, engine.take)
        connect(m, engine.offers, receive.offer)
        m.submodules.used = used = Arbiter(Used, 3, packet=False)
        connect(m, transmit.used, used.i[0])
        connect(m, receive.used, used.i[1])
        connect(m, control.used, used.i[2])
        connect(m, used.o, engine.used)
        if self.services:
            m.d.comb += [
                engine.held.eq(control.held),
                control.begun.eq(engine.begun),
                control.begun_of.eq(engine.begun_of),
                control.dropped.eq(engine.dropped),
                control.dropped_of.eq(engine.dropped_of),
            ]

        # Memory.
        for part, port in zip((engine.read, transmit.host, control.read), self.read, strict=True):
            connect(m, part, flipped(port))
        parts = (engine.write, receive.host, control.write, transport.interrupts)
        for part, port in zip(parts, self.write, strict=True):
            connect(m, part, flipped(port))

        # Frames.
        connect(m, transmit.o, flipped(self.tx))
        rx = flipped(self.rx)
        if self.services:
            m.submodules.filter = self._filter
            connect(m, rx, self._filter.i)
            m.d.comb += self._filter.ready.eq(transport.ready)
            rx = self._filter.o
            connect(m, control.mailbox, flipped(self.mailbox))
        connect(m, rx, receive.i)
        connect(m, transmit.record, counters.i[0])
        connect(m, receive.record, counters.i[1])

        # What the drivers have negotiated.
        for function in range(self.functions):
            features = transport.features[function]
            for mover in (transmit, receive):
                m.d.comb += [
                    mover.negotiated[function].csum.eq(features[NetFeature.CSUM]),
                    mover.negotiated[function].guest_csum.eq(features[NetFeature.GUEST_CSUM]),
                    mover.negotiated[function].mrg_rxbuf.eq(features[NetFeature.MRG_RXBUF]),
                    mover.negotiated[function].pairs.eq(control.active[function]),
                ]
        m.d.comb += [
            control.ready.eq(transport.ready),
            control.multiqueue.eq(Cat(f[NetFeature.MQ] for f in transport.features)),
        ]
        return m
