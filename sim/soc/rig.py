"""The SoC by itself: with the card's own registers, and without its engines."""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from firmware.boot.layout import FLASH
from firmware.build import Images, build
from niter import csr
from niter.card import Card, CardConfig
from niter.net import OverlayConfig
from niter.security.flash_guard import SpiBus
from niter.soc import Soc, SocConfig
from niter.soc.share import BusShare

__all__ = ["CONFIG", "SECRET", "SocRig", "flash_content", "images", "rig", "with_rom"]

#: Where the benches' programs are kept, a folder for each card.
_BUILD = Path(__file__).parents[2] / "build" / "firmware" / "bench"

#: A small card. Its serial line is as fast as can be, so that a letter costs no time.
CONFIG = CardConfig(
    overlay=OverlayConfig(functions=1),
    pairs=1,
    queue_size=16,
    soc=SocConfig(baud=SocConfig.clock_hz // 4, noise_seed=1),
)

#: The secret that the benches' cards have.
SECRET = bytes(range(1, 33))


class SocRig(wiring.Component):
    """The SoC and its registers, and those of the card that every firmware looks at.

    They stand where they do in a card, so that its firmware runs here unchanged. What it writes to
    the engines goes nowhere, and what it reads of them is zero.

    Parameters
    ----------
    config
        Of the card.

    Members
    -------
    flash, uart_tx
        As of ``Soc``.
    csr : In(csr.Signature)
        The control bus, for the bench to look on.
    released : Out(8)
        Functions that software has released.
    """

    def __init__(self, config: CardConfig):
        self.config = config
        self._soc = Soc(config.soc, engines=1, functions=config.functions, copies=False)
        self._identity, self._release = Card.Identity(), Card.Release()
        builder = csr.Builder(addr_width=1)
        builder.add("identity", self._identity)
        builder.add("release", self._release)
        self._bridge = csr.Bridge(builder.as_memory_map())
        whole = Card(config).csr.memory_map
        places = {window.name: window.start for window in whole.windows()}
        self._decoder = csr.Decoder(addr_width=whole.addr_width, latency=csr.SPAN_LATENCY)
        for name, bus in (("soc", self._soc.registers), ("card", self._bridge.bus)):
            self._decoder.add(bus, name=name, addr=places[name])
        super().__init__(
            {
                "flash": Out(SpiBus),
                "uart_tx": Out(1),
                "csr": In(
                    csr.Signature(addr_width=self._decoder.bus.addr_width, latency=csr.SPAN_LATENCY)
                ),
                "released": Out(8),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.soc = soc = self._soc
        m.submodules.decoder = decoder = self._decoder
        m.submodules.bridge = self._bridge
        connect(m, soc.flash, flipped(self.flash))
        m.submodules.masters = masters = BusShare(self.csr.addr_width)
        connect(m, flipped(self.csr), masters.first)
        connect(m, soc.csr, masters.second)
        connect(m, masters.csr, decoder.bus)
        m.d.comb += [
            soc.hold.eq(masters.hold),
            self.uart_tx.eq(soc.uart_tx),
            self.released.eq(self._release.f.functions.data),
            self._identity.f.functions.r_data.eq(self.config.functions),
            self._identity.f.ports.r_data.eq(self.config.ports),
        ]
        return m


@cache
def images(config: CardConfig = CONFIG) -> Images:
    """Boot ROM, loader and firmware for a card of the benches."""
    return build(config, folder=_BUILD / hashlib.sha256(repr(config).encode()).hexdigest()[:16])


def with_rom(config: CardConfig = CONFIG) -> CardConfig:
    """The card with its ROM."""
    return replace(config, soc=replace(config.soc, rom=images(config).rom_words))


def rig() -> SocRig:
    """The rig, with its ROM."""
    return SocRig(with_rom())


def flash_content(found: Images, **slots: bytes) -> dict[int, bytes]:
    """Content of a flash with boot code, the secret, and images by the name of their slot."""
    places = {"golden": FLASH.golden, "a": FLASH.slot_a, "b": FLASH.slot_b}
    return {
        FLASH.loader: found.loader,
        FLASH.loader_copy: found.loader,
        FLASH.certifier: found.certifier,
        FLASH.certifier_copy: found.certifier,
        FLASH.secret: SECRET,
        **{places[name]: image for name, image in slots.items()},
    }
