"""The storage half of a card: from NVMe commands to frames."""

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

from .config import StorageConfig

__all__ = ["Storage"]


class Storage(wiring.Component):
    """NVMe controllers whose namespaces lie at AoE targets.

    ::

        function ── NvmeControllers ── Volumes ── Pacing ── Encryption ── Aoe ── wire

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
        Admin commands.
    i_wire : In(FrameStream), o_wire : Out(FrameStream)
        Frames of AoE.
    keys : In(stream.Signature(KeyWord)), usable : In(16)
        From the key store, of a card that encrypts.
    csr : In(csr.Signature)
        ``nvme``, ``volumes``, ``pacing`` and ``aoe``.
    """

    def __init__(self, config: StorageConfig, *, ports: int, tick: int):
        self.config = config
        self._nvme = NvmeControllers(config.nvme, tick=tick)
        self._volumes = Volumes(config.volumes)
        self._pacing = Pacing(config.volumes)
        self._transport = Aoe(receive_beats=config.receive_beats, ports=ports)
        self._encryption = Encryption() if config.encryption else None
        keys = {"keys": In(stream.Signature(KeyWord)), "usable": In(16)}
        self._decoder = csr.decoder_of(
            {
                "nvme": self._nvme.csr,
                "volumes": self._volumes.csr,
                "pacing": self._pacing.csr,
                "aoe": self._transport.csr,
            }
        )
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(len(self._nvme.read)),
                "write": Out(HostWrite).array(len(self._nvme.write)),
                "mailbox": Out(MailboxPort),
                "i_wire": In(FrameStream),
                "o_wire": Out(FrameStream),
                **(keys if config.encryption else {}),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def declaration(self) -> Function:
        """What the PCIe room has to know of each function."""
        return self._nvme.declaration()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.nvme = nvme = self._nvme
        m.submodules.volumes = volumes = self._volumes
        m.submodules.pacing = pacing = self._pacing
        m.submodules.aoe = aoe = self._transport
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.function), nvme.function)
        connect(m, nvme.mailbox, flipped(self.mailbox))
        for mine, outside in ((nvme.read, self.read), (nvme.write, self.write)):
            for initiator, port in zip(mine, outside, strict=True):
                connect(m, initiator, flipped(port))
        connect(m, nvme.block, volumes.i)
        connect(m, volumes.o, pacing.i)
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
        connect(m, aoe.o_wire, flipped(self.o_wire))
        return m
