"""What each room is allowed to cost, and how to make it as the network card has it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from niter import interface
from niter.card.config import CardConfig
from niter.net import Overlay, OverlayConfig
from niter.net.mac import Mac, Receiver, Transmitter
from niter.nvme.config import NvmeConfig
from niter.nvme.controller import NvmeControllers
from niter.pcie.tl.layer import TransactionLayer
from niter.security.entropy import RandomSource
from niter.security.flash_guard import FlashGuard
from niter.security.hashing import HashRegisters, HashShare
from niter.security.key_store import KeyStore
from niter.security.measurements import Measurements
from niter.security.noise import RingNoise
from niter.soc import Soc, SocConfig
from niter.storage import Pacing, Volumes
from niter.storage.aoe import Aoe
from niter.storage.encryption import Encryption
from niter.virtio.net.device import VirtioNet

__all__ = ["CARDS", "ROOMS", "Room", "SideBySide", "find"]


@dataclass(frozen=True)
class Room:
    """A line of the ledger.

    Parameters
    ----------
    make
        Makes the component.
    comb, ebr
        Limits: COMB is what nextpnr counts, LUTs, carry and LUT-RAM together.
    mhz
        Clock that it must reach by itself.
    clocks
        Domains other than ``sync``, and their clocks in MHz.
    oscillators
        Has rings of gates on purpose.
    """

    make: Callable[[], wiring.Component]
    comb: int | None = None
    ebr: int | None = None
    mhz: float = 100
    clocks: tuple[tuple[str, float], ...] = ()
    oscillators: bool = False


class SideBySide(wiring.Component):
    """Components that have nothing to do with each other, counted together.

    Parameters
    ----------
    parts
        By name; the ports of each are below that name.
    """

    def __init__(self, **parts: wiring.Component) -> None:
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            connect(m, part, flipped(getattr(self, name)))
        return m


_CARD = CardConfig()


def _transaction_layer() -> TransactionLayer:
    net = _virtio_net()
    return TransactionLayer(
        functions=[net.kind.function()] * _CARD.functions,
        engines=[0] * _CARD.functions,
        read_ports=len(net.read),
        write_ports=len(net.write),
    )


def _virtio_net(services: bool = False) -> VirtioNet:
    return VirtioNet(_CARD.functions, _CARD.pairs, _CARD.queue_size, services=services)


def _overlay(**features: bool) -> Overlay:
    return Overlay(OverlayConfig(functions=_CARD.functions, ports=_CARD.ports, **features))


def _mac(frame_bytes: int = _CARD.frame_bytes) -> Mac:
    return Mac(frame_bytes=frame_bytes)


class _Storage(wiring.Component):
    """What stands between a front end and the wire, but for encryption, joined as on a card."""

    def __init__(self) -> None:
        # No front end of a card has more tags.
        self.parts = {"volumes": Volumes(), "pacing": Pacing(tags=64), "aoe": Aoe(tags=64)}
        ports = {"volumes": ("i", "key", "csr"), "pacing": ("csr",)}
        ports["aoe"] = ("i_wire", "o_wire", "csr")
        self._outside = [(name, port) for name, of in ports.items() for port in of]
        super().__init__(
            {
                f"{name}_{port}": self.parts[name].signature.members[port]
                for name, port in self._outside
            }
        )

    def elaborate(self, platform):
        m = Module()
        volumes, pacing, aoe = self.parts.values()
        for name, part in self.parts.items():
            m.submodules[name] = part
        for name, port in self._outside:
            connect(m, getattr(self.parts[name], port), flipped(getattr(self, f"{name}_{port}")))
        connect(m, volumes.o, pacing.i)
        connect(m, volumes.counted, aoe.counted)
        connect(m, pacing.o, aoe.i)
        m.d.comb += pacing.now.eq(aoe.cycles)
        return m


def _soc() -> Soc:
    # A ROM of zeros would not be built.
    config = SocConfig(rom=tuple(0x9E3779B1 * n & 0xFFFFFFFF for n in range(512)))
    return Soc(config, engines=1, functions=_CARD.functions, copies=False)


def _trust() -> SideBySide:
    return SideBySide(
        hash=HashRegisters(),
        keys=KeyStore(),
        measurements=Measurements(),
        random=RandomSource(RingNoise()),
        guard=FlashGuard(),
    )


#: As the cards have them, or in another form; the MAC is for one port.
ROOMS = {
    "pcie.tl": Room(_transaction_layer, comb=5000, ebr=10),
    "virtio": Room(_virtio_net, comb=5000, ebr=14),
    # With firmware behind its control queue, and the receive filter.
    "virtio.served": Room(lambda: _virtio_net(services=True), comb=5700, ebr=17),
    "overlay": Room(lambda: _overlay(ipv6=False, geneve=False), comb=3000, ebr=10),
    "overlay.full": Room(lambda: _overlay(ipv6=True, geneve=True), comb=4000, ebr=12),
    "mac": Room(_mac, comb=1000, ebr=8, clocks=(("gmii_tx", 125), ("gmii_rx", 125))),
    "soc": Room(_soc, comb=6000, ebr=54, mhz=80, oscillators=True),
    "mac.jumbo": Room(
        lambda: _mac(9600), comb=1000, ebr=20, clocks=(("gmii_tx", 125), ("gmii_rx", 125))
    ),
    # The MAC proper, as others count it: no buffers, no statistics. Its clock is GMII's.
    "mac.bare": Room(
        lambda: SideBySide(transmitter=Transmitter(), receiver=Receiver()),
        comb=700,
        ebr=0,
        mhz=125,
    ),
    # The SoC's room has them, too: here alone, so that each is seen.
    "hash": Room(lambda: HashShare(3), comb=2000, ebr=2),
    "trust": Room(_trust, comb=1500, ebr=3, oscillators=True),
    "nvme": Room(lambda: NvmeControllers(NvmeConfig()), comb=7000, ebr=14),
    "storage": Room(_Storage, comb=3500, ebr=12),
    # Of the full card. Tables and round keys in block RAM are what keeps it from 6000.
    "encryption": Room(Encryption, comb=4500, ebr=30),
}

_COMMON = ("pcie.tl", "soc")
#: The ledger's cards: the rooms of each.
CARDS = {
    "network card, 45F": (*_COMMON, "virtio.served", "overlay", "mac"),
    "storage card, 45F": (*_COMMON, "nvme", "storage", "mac"),
    "full card, 85F": (
        *(*_COMMON, "virtio.served", "overlay.full", "nvme", "storage", "encryption"),
        *("mac.jumbo", "mac.jumbo"),
    ),
}


def find(name: str) -> Room:
    """The room of that name, or one without limits for a ``module:expression``.

    Names in the expression are the module's own, or those of ``niter.interface``.

    Raises
    ------
    LookupError
        If it is neither.
    """
    if name in ROOMS:
        return ROOMS[name]
    module_name, colon, expression = name.partition(":")
    if not colon:
        raise LookupError(f"No room is called {name!r}; there are: {', '.join(ROOMS)}")
    names = {**vars(interface), **vars(importlib.import_module(module_name))}
    return Room(lambda: eval(expression, names))
