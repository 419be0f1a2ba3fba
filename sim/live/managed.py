"""A running card that its own processor opens: it boots from flash, and clients configure it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from niter.card import CardConfig
from niterctl.protocol import PORT
from sim.live.card import RunningCard
from sim.live.config import LiveConfig, load
from sim.live.model import build_card
from sim.live.station import Station
from sim.models.flash_pins import flash_image
from sim.models.opening import Endpoint, Peer, Tenant
from sim.soc.gateway import Gateway
from sim.soc.identity import KEYS, MAC, ROOT, VTEP, certified, identity, provisioned
from sim.soc.rig import flash_content, images, with_rom

__all__ = ["CARD", "Managed", "deliver", "flash_file", "managed_card"]

#: Port 0 is the underlay, port 1 where clients are.
CARD = load(Path(__file__).with_name("managed.toml")).card

TENANT = Tenant("02:00:00:00:00:01", 0x123456, ("192.0.2.1",))
PEER = Peer("198.51.100.2", "02:bb:00:00:00:02", stations=("02:00:00:00:00:02",))


@dataclass
class Managed:
    """A card, and what is plugged into it.

    Parameters
    ----------
    card
        The process.
    station
        The far end of port 0 of a card with two.
    gateway
        Clients' way to the last port.
    boot_cycles
        From reset to the release of its functions, to within 0.1 s of wall time.
    """

    card: RunningCard
    station: Station
    gateway: Gateway
    boot_cycles: int

    def close(self) -> None:
        """Switch it off."""
        self.card.stop()
        self.station.close()
        self.gateway.close()


def flash_file(place: Path, config: CardConfig = CARD) -> None:
    """Write the flash of a card as it is delivered: images, policy, certificates, secret."""
    found = images(config)
    pieces = flash_content(found, a=found.image) | provisioned() | certified(found)
    place.write_bytes(flash_image(pieces))


def deliver(live: LiveConfig, folder: Path) -> tuple[LiveConfig, Path]:
    """Give a card its ROM, and leave in a folder what comes with a card.

    The flash's content, unless the folder has one; the keys that the benches' policy knows, by
    role; the root certificate and the card's identity.

    Returns
    -------
    tuple
        The configuration with the ROM, and the flash's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flash = folder / "flash"
    if not flash.exists():
        flash_file(flash, live.card)
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    for role, key in KEYS.items():
        (folder / f"{role.name.lower()}.pem").write_bytes(key.private_bytes(*form))
    (folder / "root.pem").write_bytes(ROOT.public_bytes(Encoding.PEM))
    (folder / "identity").write_text(identity(images(live.card)).hex() + "\n")
    return replace(live, card=with_rom(live.card)), flash


def managed_card(
    folder: Path,
    models: Path,
    *,
    port: int,
    config: CardConfig = CARD,
    flash: dict[int, bytes] | None = None,
    strangers: Callable[[bytes], object] = lambda frame: None,
) -> Managed:
    """Build a card, start it, and wait until it has released its functions.

    Parameters
    ----------
    folder
        For sockets, flash and log.
    models
        Folder of built models.
    port
        UDP port on loopback that the card's last wire gets.
    flash
        Content of its flash by address. None: what the folder has, or as it is delivered.
    strangers
        Gets frames of its last wire that are not for clients.
    """
    gateway = Gateway(None, VTEP, PORT, strangers)
    live = LiveConfig(
        with_rom(config), endpoint=Endpoint(MAC, VTEP), tenants=(TENANT,), peers=(PEER,)
    )
    station = Station(live, folder)
    wires = station.wire, f"udp:127.0.0.1:{port},{gateway.wire}"
    live = replace(live, wires=wires[-config.ports :])
    if flash is not None:
        (folder / "flash").write_bytes(flash_image(flash))
    elif not (folder / "flash").exists():
        flash_file(folder / "flash", config)
    program = build_card(live.card, models)
    card = RunningCard(program, live, folder, capture=False, flash=folder / "flash")
    gateway.card = "127.0.0.1", port
    return Managed(card, station, gateway, card.control.status()["cycles"])
