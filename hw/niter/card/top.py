"""The card: every room, joined."""

from collections.abc import Sequence

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS, FrameBeat, FrameStream
from niter.net import Overlay, Steering
from niter.net.mac import GmiiReceive, GmiiTransmit
from niter.pcie.tl.layer import TransactionLayer
from niter.pcie.tl.layouts import LinkPort
from niter.security.flash_guard import SpiBus
from niter.soc import Mailbox, Soc
from niter.soc.share import BusShare
from niter.stream import Arbiter, SkidBuffer
from niter.virtio.net.device import VirtioNet

from .config import CardConfig
from .ports import host_ports
from .share import FunctionShift, MailboxShift, ReadShare, WriteShare
from .storage import Storage
from .wire import Wire

__all__ = ["Card"]


class Card(wiring.Component):
    """The card: PCI Express on one side, Ethernet on the other.

    A network card, a storage card, or both::

        link ── transaction layer ── virtio-net ── overlay ──┬── MAC 0, 1 ── GMII
                                                     │       │
                                                     └─ local ┘

        link ── transaction layer ── storage ── steering ── MAC 0 ── GMII

        link ── transaction layer ──┬── virtio-net ── overlay ──┬── steering ──┬── MAC 0, 1 ── GMII
                                    └── storage ────────────────┘     │ local ─┘

    With both, functions of storage come behind those of the network, and host memory ports of the
    one share those of the PCIe room with the other's; see ``host_ports``.

    A card starts closed: no function is released, no MAC is switched on, and the tables are
    empty. Whoever masters ``csr`` opens it.

    The clock domain is ``sync``, and for each port *n* ``gmii<n>_tx`` and ``gmii<n>_rx``.

    Parameters
    ----------
    config
        The card's sizes and stages.

    Members
    -------
    link : Out(LinkPort)
        The data link layer.
    transmit : array of Out(GmiiTransmit), receive : array of Out(GmiiReceive)
        The ports.
    csr : In(csr.Signature)
        Control bus: ``card``, ``pcie``, ``mac_<n>``, and of a network ``net`` and ``overlay``,
        of storage ``storage``; ``soc`` where there is one, else with NVMe controllers the
        mailbox alone, ``soc.mailbox``.
        With a processor it is for benches that look on: a board ties it to zero. Its latency is
        ``csr.SPAN_LATENCY``.
    <service>_rx : Out(FrameStream), <service>_tx : In(FrameStream)
        For each of ``config.services``: its frames from the wire and to it, see
        ``niter.net.Steering``; its registers are ``steering``. No function can be reached
        here, nor reaches it.
    flash : Out(SpiBus), uart_tx : Out(1)
        With a processor: its flash and its serial line.
    board : Out(csr.Signature)
        The window for the board's registers, where ``config.board_registers`` asks for one.
    """

    class Identity(csr.Register, access="r"):
        """What card this is."""

        functions: csr.Field(csr.action.R, 4, doc="Functions of the network and of storage.")
        ports: csr.Field(csr.action.R, 4, doc="Ethernet ports.")
        pairs: csr.Field(csr.action.R, 4, doc="Queue pairs of each network function.")

    class Release(csr.Register, access="rw"):
        """Functions that the host may use."""

        functions: csr.Field(
            csr.action.RW,
            MAX_FUNCTIONS,
            doc="A bit a function. Until it is set, configuration requests are to be retried.",
        )

    def __init__(self, config: CardConfig):
        self.config = config
        self._net = self._overlay = self._storage = self._mailbox = None
        services = config.services
        functions, engines = [], []
        #: By name, who reads and writes host memory, and the number of its first function.
        self._hosts: dict[str, tuple[wiring.Component, int]] = {}
        if config.overlay:
            self._net = VirtioNet(
                config.network_functions,
                config.pairs,
                config.queue_size,
                services=config.served,
            )
            self._overlay = Overlay(config.overlay)
            functions += [self._net.kind.function()] * config.network_functions
            engines += [0] * config.network_functions
            self._hosts["net"] = self._net, 0
        nvme = bool(config.storage and config.storage.nvme)
        if config.storage:
            tick = config.storage.clock_hz // 10_000
            self._storage = Storage(config.storage, ports=config.ports, tick=tick)
            engines += [max(engines, default=-1) + 1] * config.storage.functions
            functions += [self._storage.declaration()] * config.storage.functions
            services = (*services, "storage")
            self._hosts["storage"] = self._storage, config.network_functions
            if nvme and not config.soc:
                self._mailbox = Mailbox(1, config.storage.functions)
        self._wire = Wire(config)
        self._steering = Steering(services) if services else None
        self._identity = self.Identity()
        self._release = self.Release()
        builder = csr.Builder(addr_width=1)
        builder.add("identity", self._identity)
        builder.add("release", self._release)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._board = None
        if config.board_registers is not None:
            self._board = csr.Signature(addr_width=config.board_registers).create()
            self._board.memory_map = csr.MemoryMap(addr_width=config.board_registers)
        encrypts = bool(config.storage and config.storage.encryption)
        asking = config.network_functions if config.served else 0
        if nvme:
            asking += config.storage.functions
        self._soc = config.soc and Soc(
            config.soc,
            engines=len(config.asking),
            functions=asking,
            copies=nvme,
            storage_keys=encrypts,
            resolves=not config.overlay,
        )
        if nvme:
            # Orders name the functions as the mailbox counts them.
            first = config.network_functions - config.asking["storage"]
            self._hosts["mailbox"] = self._soc or self._mailbox, first
        self._reads, self._writes = host_ports(
            {name: len(_ports(host.read)) for name, (host, _) in self._hosts.items()},
            {name: len(_ports(host.write)) for name, (host, _) in self._hosts.items()},
        )
        self._pcie = TransactionLayer(
            functions=functions,
            engines=engines,
            read_ports=len(self._reads),
            write_ports=len(self._writes),
            timeout=config.completion_timeout,
        )
        self._decoder = csr.decoder_of(
            {
                **self._halves(),
                "pcie": self._pcie.csr,
                **{f"mac_{n}": mac.csr for n, mac in enumerate(self._wire.macs)},
                **({"steering": self._steering.csr} if self._steering else {}),
                "card": self._bridge.bus,
            },
            latency=csr.SPAN_LATENCY,
        )
        outside = {"board": Out(self._board.signature)} if self._board else {}
        for name in config.services:
            outside |= {f"{name}_rx": Out(FrameStream), f"{name}_tx": In(FrameStream)}
        super().__init__(
            {
                **outside,
                "link": Out(LinkPort),
                "transmit": Out(GmiiTransmit).array(config.ports),
                "receive": Out(GmiiReceive).array(config.ports),
                "csr": In(
                    csr.Signature(addr_width=self._decoder.bus.addr_width, latency=csr.SPAN_LATENCY)
                ),
                **({"flash": Out(SpiBus), "uart_tx": Out(1)} if self._soc else {}),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def _halves(self) -> dict[str, csr.Interface]:
        """Registers of what only some cards have."""
        buses = {"soc": self._soc.registers} if self._soc else {}
        if self._board:
            buses["board"] = self._board
        if self._mailbox:
            self._mailbox_decoder = csr.decoder_of({"mailbox": self._mailbox.csr})
            buses["soc"] = self._mailbox_decoder.bus
        if self._storage:
            buses["storage"] = self._storage.csr
        if self._net:
            buses |= {"overlay": self._overlay.csr, "net": self._net.csr}
        return buses

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.bridge = self._bridge
        if self._net:
            m.submodules.net = self._net
            m.submodules.overlay = self._overlay
        if self._storage:
            m.submodules.storage = self._storage
        m.submodules.pcie = pcie = self._pcie
        fields = self._identity.f
        m.d.comb += [
            fields.functions.r_data.eq(self.config.functions),
            fields.ports.r_data.eq(self.config.ports),
            fields.pairs.r_data.eq(self.config.pairs if self._net else 0),
            pcie.released.eq(self._release.f.functions.data),
        ]

        connect(m, pcie.link, flipped(self.link))
        self._join_hosts(m)
        if self._net:
            connect(m, self._net.tx, self._overlay.i_host)
            connect(m, self._overlay.o_host, self._net.rx)
        m.submodules.wire = wire = self._wire
        outgoing, incoming = self._join_services(m)
        connect(m, wire.o, incoming)
        if self._overlay:
            connect(m, wire.local, self._overlay.i_local)
        for n in range(self.config.ports):
            connect(m, wire.transmit[n], flipped(self.transmit[n]))
            connect(m, wire.receive[n], flipped(self.receive[n]))
        if self._soc:
            self._join_soc(m, outgoing)
        else:
            connect(m, flipped(self.csr), self._decoder.bus)
            connect(m, outgoing, wire.i)
        if self._board:
            connect(m, self._board, flipped(self.board))
        if self._mailbox:
            m.submodules.mailbox_decoder = self._mailbox_decoder
            m.submodules.mailbox = mailbox = self._mailbox
            connect(m, self._storage.mailbox, mailbox.engine[0])
        return m

    def _join_hosts(self, m):
        """Functions and host memory."""
        pcie = self._pcie
        for engine, half in zip(pcie.engine, filter(None, (self._net, self._storage)), strict=True):
            first = self.config.network_functions if half is self._storage else 0
            if first:
                m.submodules.shift = shift = FunctionShift(first)
                connect(m, engine, shift.i)
                connect(m, shift.o, half.function)
            else:
                connect(m, engine, half.function)
        for kind, users, ports, share in (
            ("read", self._reads, pcie.read, ReadShare),
            ("write", self._writes, pcie.write, WriteShare),
        ):
            for number, (row, port) in enumerate(zip(users, ports, strict=True)):
                found = [_ports(getattr(self._hosts[name][0], kind))[at] for name, at in row]
                firsts = [self._hosts[name][1] for name, _ in row]
                if firsts == [0]:
                    connect(m, found[0], port)
                    continue
                m.submodules[f"{kind}_{number}"] = shared = share(firsts)
                for requester, taken in zip(found, shared.i, strict=True):
                    connect(m, requester, taken)
                connect(m, shared.o, port)

    def _join_soc(self, m, tunnelled):
        """The processor: on the control bus, beside the wire, and behind the mailbox."""
        m.submodules.soc = soc = self._soc
        m.submodules.masters = masters = BusShare(self.csr.addr_width)
        connect(m, flipped(self.csr), masters.first)
        connect(m, soc.csr, masters.second)
        connect(m, masters.csr, self._decoder.bus)
        m.d.comb += soc.hold.eq(masters.hold)
        halves = {"net": self._net, "storage": self._storage}
        for engine, (name, first) in enumerate(self.config.asking.items()):
            mailbox = halves[name].mailbox
            if first:
                m.submodules.mailbox_shift = shift = MailboxShift(first)
                connect(m, mailbox, shift.i)
                mailbox = shift.o
            connect(m, mailbox, soc.engine[engine])
        m.submodules.outgoing = outgoing = Arbiter(FrameBeat, 2)
        connect(m, tunnelled, outgoing.i[0])
        connect(m, soc.frames, outgoing.i[1])
        connect(m, outgoing.o, self._wire.i)
        from_wire = self._wire.o
        meta = from_wire.payload.meta
        # Who only looks on may do so a cycle later: it is a long way that a frame is taken by.
        m.d.sync += [
            soc.tap.transfer.eq(from_wire.valid & from_wire.ready),
            soc.tap.packet.eq(from_wire.payload.packet),
            soc.tap.length.eq(meta.length),
            soc.tap.port.eq(meta.port),
        ]
        m.d.comb += self.uart_tx.eq(soc.uart_tx)
        connect(m, soc.flash, flipped(self.flash))
        if soc.storage_keys:
            connect(m, soc.keys, self._storage.keys)
            m.d.comb += self._storage.usable.eq(soc.usable)

    def _join_services(self, m):
        """What shares the wire. Returns the stream that goes there, and the one that takes."""
        overlay = self._overlay
        if not self._steering:
            return overlay.o_wire, overlay.i_wire
        m.submodules.steering = steering = self._steering
        if overlay:
            # From the ports to the stages that a frame waits in is too far for one cycle.
            m.submodules.overlay_edge = edge = SkidBuffer(FrameBeat)
            connect(m, overlay.o_wire, edge.i)
            connect(m, edge.o, steering.i_overlay)
            connect(m, steering.o_overlay, overlay.i_wire)
        else:
            # Nobody is there for tunnels but the storage's own, in front of steering.
            m.d.comb += steering.o_overlay.ready.eq(1)
        if self._storage:
            connect(m, steering.o_storage, self._storage.i_wire)
            connect(m, self._storage.o_wire, steering.i_storage)
        for name in self.config.services:
            connect(m, getattr(steering, f"o_{name}"), flipped(getattr(self, f"{name}_rx")))
            connect(m, flipped(getattr(self, f"{name}_tx")), getattr(steering, f"i_{name}"))
        if self._storage and self.config.storage.tunnel:
            connect(m, self._storage.o_ports, steering.i_wire)
            return steering.o_wire, self._storage.i_ports
        return steering.o_wire, steering.i_wire


def _ports(given) -> Sequence:
    """Ports as a sequence, though an engine have but one."""
    return given if isinstance(given, Sequence) else (given,)
