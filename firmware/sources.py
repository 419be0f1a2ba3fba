"""Which of the firmware's files a card needs."""

from pathlib import Path

from niter.card import CardConfig

__all__ = ["services"]

_ROOT = Path(__file__).resolve().parent
_SERVICES = _ROOT / "services"


def _named(*names: str) -> set[Path]:
    return {_SERVICES / f"{name}.c" for name in names}


#: What is about one half of a card.
_NETWORK = _named("mapping", "ports", "replicas", "routes", "station", "tables", "tunnel")
_PEERS = _named("peers")
_STORAGE = _named("volumes", "volume_tunnel")
#: What answers engines, and by which way.
_CONTROL, _REQUESTS = _named("control_queue"), _named("requests")


def services(config: CardConfig) -> list[Path]:
    """The services of a card, and where it has controllers, their admin commands.

    Raises
    ------
    ValueError
        Of a card of virtio disks, whose volumes are not attached by firmware yet.
    """
    if config.storage and config.storage.blk:
        raise ValueError("There is no firmware for a card of virtio disks")
    found = set(_SERVICES.glob("*.c"))
    if not config.overlay:
        found -= _NETWORK | _PEERS
    elif not config.overlay.peers:
        found -= _PEERS
    if not config.served:
        found -= _CONTROL
    if config.storage:
        found |= set((_ROOT / "nvme").glob("*.c"))
    else:
        found -= _STORAGE
    if config.storage and config.storage.encryption:
        found.add(_ROOT / "hal" / "storage_keys.c")
    if config.asking:
        found.add(_ROOT / "hal" / "mailbox.c")
    else:
        found -= _REQUESTS
    return sorted(found)
