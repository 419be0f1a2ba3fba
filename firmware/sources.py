"""Which of the firmware's files a card needs."""

from pathlib import Path

from niter.card import CardConfig

__all__ = ["services"]

_ROOT = Path(__file__).resolve().parent
_SERVICES = _ROOT / "services"
#: What is about one kind of card.
_NETWORK = {
    _SERVICES / f"{name}.c"
    for name in ("mapping", "ports", "replicas", "routes", "station", "tables", "tunnel")
}
#: What answers engines, through the mailbox.
_ANSWERS = {_SERVICES / "control_queue.c"}
_MAILBOX = {_ROOT / "hal" / "mailbox.c"}
_STORAGE = {_SERVICES / f"{name}.c" for name in ("volumes", "volume_tunnel")}


def services(config: CardConfig) -> list[Path]:
    """The services of a card, and of a storage card its controllers' admin commands.

    Raises
    ------
    ValueError
        Of a card of virtio disks, whose volumes are not attached by firmware yet, and of a card
        with both halves, of which services know one.
    """
    every = set(_SERVICES.glob("*.c"))
    if config.overlay and config.storage:
        raise ValueError("There is no firmware for a card with both halves")
    if config.overlay:
        if config.served:
            return sorted((every - _STORAGE) | _MAILBOX)
        # The engines ask nobody.
        return sorted(every - _STORAGE - _ANSWERS)
    if config.storage.blk:
        raise ValueError("There is no firmware for a card of virtio disks")
    admin = {*(_ROOT / "nvme").glob("*.c"), *_MAILBOX}
    return sorted((every - _NETWORK - _ANSWERS) | admin)
