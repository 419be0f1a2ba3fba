"""The SoC by itself: with the card's own registers, and without its engines."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from amaranth import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from firmware.boot.layout import FLASH
from firmware.build import Images, build
from niter import csr
from niter.card import Card
from niter.interface import FrameStream, HostRead, HostWrite, MailboxPort
from niter.security.flash_guard import SpiBus
from niter.soc import FrameTap, Soc, SocConfig

__all__ = ["BUILD", "SocRig", "flash_content", "images", "rig"]

#: Where the benches' programs are kept.
BUILD = Path(__file__).parents[2] / "build" / "firmware" / "bench"

#: The serial line is as fast as can be, so that a letter costs no time.
_CONFIG = SocConfig(baud=SocConfig.clock_hz // 4)

#: The secret that the benches' cards have.
SECRET = bytes(range(1, 33))

FUNCTIONS = 4


class SocRig(wiring.Component):
    """The SoC and its registers, and those of the card that every firmware looks at.

    Parameters
    ----------
    config
        Of the SoC.

    Members
    -------
    flash, uart_tx, engine, read, write, tap, frames
        As of ``Soc``, with one engine.
    csr : In(csr.Signature)
        The control bus, for the bench to look on.
    released : Out(8)
        Functions that software has released.
    """

    def __init__(self, config: SocConfig):
        self._soc = Soc(config, engines=1, functions=FUNCTIONS)
        self._identity, self._release = Card.Identity(), Card.Release()
        builder = csr.Builder(addr_width=1)
        builder.add("identity", self._identity)
        builder.add("release", self._release)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._decoder = csr.Decoder(addr_width=13)
        self._decoder.add(self._soc.registers, name="soc")
        self._decoder.add(self._bridge.bus, name="card")
        super().__init__(
            {
                "flash": Out(SpiBus),
                "uart_tx": Out(1),
                "engine": In(MailboxPort),
                "read": Out(HostRead),
                "write": Out(HostWrite),
                "tap": In(FrameTap),
                "frames": Out(FrameStream),
                "csr": In(csr.Signature(addr_width=13)),
                "released": Out(8),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.soc = soc = self._soc
        m.submodules.decoder = decoder = self._decoder
        m.submodules.bridge = self._bridge
        for name in ("flash", "read", "write", "frames"):
            connect(m, getattr(soc, name), flipped(getattr(self, name)))
        connect(m, flipped(self.engine), soc.engine[0])
        connect(m, flipped(self.tap), soc.tap)
        inside = soc.csr.r_stb | soc.csr.w_stb
        bus = decoder.bus
        m.d.comb += [
            bus.addr.eq(Mux(inside, soc.csr.addr, self.csr.addr)),
            bus.w_data.eq(Mux(inside, soc.csr.w_data, self.csr.w_data)),
            bus.r_stb.eq(soc.csr.r_stb | self.csr.r_stb),
            bus.w_stb.eq(soc.csr.w_stb | self.csr.w_stb),
            soc.csr.r_data.eq(bus.r_data),
            self.csr.r_data.eq(bus.r_data),
            self.uart_tx.eq(soc.uart_tx),
            self.released.eq(self._release.f.functions.data),
            self._identity.f.functions.r_data.eq(FUNCTIONS),
            self._identity.f.ports.r_data.eq(1),
        ]
        return m


@cache
def _declared() -> SocRig:
    """One whose registers are looked at, and which is never built."""
    return SocRig(_CONFIG)


@cache
def images(main: Path | None = None) -> Images:
    """Boot ROM, loader and firmware for the rig; with another ``main`` than the card's."""
    memory_map = _declared().csr.memory_map
    if main is None:
        return build(memory_map, _CONFIG, folder=BUILD)
    return build(memory_map, _CONFIG, folder=BUILD / main.parent.name, main=main)


def rig() -> SocRig:
    """The rig, with its ROM."""
    return SocRig(replace(_CONFIG, rom=images().rom_words))


def flash_content(**slots: bytes) -> dict[int, bytes]:
    """Content of a flash with the loader, the secret, and images by the name of their slot."""
    found = images()
    places = {"golden": FLASH.golden, "a": FLASH.slot_a, "b": FLASH.slot_b}
    return {
        FLASH.loader: found.loader,
        FLASH.loader_copy: found.loader,
        FLASH.secret: SECRET,
        **{places[name]: image for name, image in slots.items()},
    }
