"""The storage half of a card: from commands of hosts to frames."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import FrameStream, Function, FunctionPort, HostRead, HostWrite, MailboxPort
from niter.nvme.controller import NvmeControllers
from niter.security.key_store import KeyWord
from niter.storage import Pacing, Volumes
from niter.storage.aoe import Aoe
from niter.storage.encryption import Encryption
from niter.storage.vxlan import Tunnel
from niter.virtio.blk import VirtioBlk

from .config import StorageConfig

__all__ = ["Storage"]


class Storage(wiring.Component):
    """NVMe controllers whose namespaces, or virtio disks whose sectors, lie at AoE targets.

    ::

        function ── NvmeControllers, VirtioBlk ── Volumes ── Pacing ── Encryption ── Aoe ── wire

    Parameters
    ----------
    config
        Sizes.
    ports
        Of the wire.
    tick
        Clock cycles in 100 us.

    Members
    -------
    function : In(FunctionPort)
        From the PCIe room.
    read : array of Out(HostRead), write : array of Out(HostWrite)
        Host memory.
    mailbox : Out(MailboxPort)
        Admin commands; of NVMe controllers only.
    i_wire : In(FrameStream), o_wire : Out(FrameStream)
        Frames of AoE.
    i_ports : In(FrameStream), o_ports : Out(FrameStream)
        With a tunnel: all that comes from the wire's ports, and what of it goes on to steering.
    keys : In(stream.Signature(KeyWord)), usable : In(16)
        From the key store, of a card that encrypts.
    csr : In(csr.Signature)
        ``nvme`` or ``blk``, ``volumes``, ``pacing``, ``aoe`` and ``tunnel``.
    """

    def __init__(self, config: StorageConfig, *, ports: int, tick: int):
        self.config = config
        if config.nvme:
            self._kind, self._front = "nvme", NvmeControllers(config.nvme, tick=tick)
        else:
            sizes = config.blk
            self._kind = "blk"
            self._front = VirtioBlk(
                sizes.functions, sizes.queues, sizes.queue_size, tags=sizes.tags
            )
        tags = (config.nvme or config.blk).tags
        self._volumes = Volumes(config.volumes)
        self._pacing = Pacing(config.volumes, tags)
        self._transport = Aoe(
            tags=tags,
            receive_beats=config.receive_beats,
            ports=ports + config.tunnel,
            volumes=config.volumes,
        )
        self._tunnel = Tunnel(ports) if config.tunnel else None
        self._encryption = Encryption() if config.encryption else None
        keys = {"keys": In(stream.Signature(KeyWord)), "usable": In(16)}
        self._decoder = csr.decoder_of(
            {
                self._kind: self._front.csr,
                "volumes": self._volumes.csr,
                "pacing": self._pacing.csr,
                "aoe": self._transport.csr,
                **({"tunnel": self._tunnel.csr} if self._tunnel else {}),
            }
        )
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(len(self._front.read)),
                "write": Out(HostWrite).array(len(self._front.write)),
                **({"mailbox": Out(MailboxPort)} if config.nvme else {}),
                "i_wire": In(FrameStream),
                "o_wire": Out(FrameStream),
                **(keys if config.encryption else {}),
                **(
                    {"i_ports": In(FrameStream), "o_ports": Out(FrameStream)}
                    if self._tunnel
                    else {}
                ),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def declaration(self) -> Function:
        """What the PCIe room has to know of each function."""
        return self._front.declaration() if self.config.nvme else self._front.kind.function()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules[self._kind] = front = self._front
        m.submodules.volumes = volumes = self._volumes
        m.submodules.pacing = pacing = self._pacing
        m.submodules.aoe = aoe = self._transport
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.function), front.function)
        if self.config.nvme:
            connect(m, front.mailbox, flipped(self.mailbox))
        for mine, outside in ((front.read, self.read), (front.write, self.write)):
            for initiator, port in zip(mine, outside, strict=True):
                connect(m, initiator, flipped(port))
        connect(m, front.block, volumes.i)
        connect(m, volumes.o, pacing.i)
        connect(m, volumes.counted, aoe.counted)
        m.d.comb += pacing.now.eq(aoe.cycles)
        if self._encryption:
            m.submodules.encryption = encryption = self._encryption
            connect(m, pacing.o, encryption.i)
            connect(m, encryption.o, aoe.i)
            connect(m, volumes.key, encryption.key)
            connect(m, flipped(self.keys), encryption.keys)
            m.d.comb += encryption.usable.eq(self.usable)
        else:
            connect(m, pacing.o, aoe.i)
        connect(m, flipped(self.i_wire), aoe.i_wire)
        if self._tunnel:
            m.submodules.tunnel = tunnel = self._tunnel
            connect(m, aoe.o_wire, tunnel.i_storage)
            connect(m, tunnel.o_storage, flipped(self.o_wire))
            connect(m, flipped(self.i_ports), tunnel.i_wire)
            connect(m, tunnel.o_wire, flipped(self.o_ports))
        else:
            connect(m, aoe.o_wire, flipped(self.o_wire))
        return m
