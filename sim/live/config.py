"""The configuration file of a running card: TOML, checked against what there is."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from niter.card import CardConfig, StorageConfig
from niter.net import OverlayConfig
from niter.nvme.config import NvmeConfig
from niter.soc import SocConfig
from niter.virtio.blk import BlkSizes
from sim.live.storage import Disk
from sim.models.opening import Endpoint, Peer, Tenant

__all__ = ["BOTH_RAM", "CONSOLE_BIT", "STORAGE_RAM", "ConfigError", "Host", "LiveConfig", "load"]

#: Memory of processors whose firmware is longer than that of a network card, as boards have it: of
#: a storage card, and of a card with both halves.
STORAGE_RAM, BOTH_RAM = 76 * 1024, 80 * 1024

#: Cycles of a bit of a processor's serial line: as fast as can be, so that a letter costs no time.
CONSOLE_BIT = 4


class ConfigError(Exception):
    """The file says something that cannot be; the text names where."""


@dataclass(frozen=True)
class Host:
    """How the root complex and its memory behave.

    Parameters
    ----------
    seed
        Of everything that is left to chance.
    stall
        Probability that the link pauses between two beats, each way.
    latency, spread
        Core cycles until memory answers, and how many are added to that at random.
    split
        Probability that a completion ends at a boundary where it might.
    """

    seed: int = 1
    stall: float = 0.0
    latency: int = 20
    spread: int = 40
    split: float = 0.5


@dataclass(frozen=True)
class LiveConfig:
    """All that a configuration file says.

    Parameters
    ----------
    card
        What is built.
    host
        The root complex.
    endpoint, tenants, peers
        What a network card is opened with; a function for each tenant.
    disks
        What a storage card is opened with, which has of ``endpoint`` the MAC address.
    wires
        What each port's cable ends in.
    """

    card: CardConfig
    host: Host = field(default_factory=Host)
    endpoint: Endpoint = field(default_factory=Endpoint)
    tenants: tuple[Tenant, ...] = ()
    peers: tuple[Peer, ...] = ()
    disks: tuple[Disk, ...] = ()
    wires: tuple[str, ...] = ()

    @property
    def functions(self) -> int:
        """Functions that hosts may use."""
        all_of_them = self.card.storage or self.card.soc
        return self.card.functions if all_of_them else len(self.tenants)


def load(path: Path) -> LiveConfig:
    """Read a configuration file.

    Raises
    ------
    ConfigError
        When it cannot be read, or names something unknown or impossible.
    """
    try:
        text = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    known = {"card", "storage", "host", "endpoint", "function", "peer", "disk", "port", "processor"}
    if unknown := set(text) - known:
        raise ConfigError(f"{path}: no such table: {', '.join(sorted(unknown))}")
    tenants = tuple(_make(Tenant, table, "function") for table in text.get("function", []))
    wires = tuple(_make(_Port, table, "port").wire for table in text.get("port", []))
    config = LiveConfig(
        card=_card(text.get("card", {}), text.get("storage"), text.get("processor")),
        host=_make(Host, text.get("host", {}), "host"),
        endpoint=_make(Endpoint, text.get("endpoint", {}), "endpoint"),
        tenants=tenants,
        peers=tuple(_make(Peer, table, "peer") for table in text.get("peer", [])),
        disks=tuple(_make(Disk, table, "disk") for table in text.get("disk", [])),
        wires=wires,
    )
    if "processor" in text:
        _check_managed(path, config)
        return config
    if config.card.overlay and config.card.storage:
        raise ConfigError(f"{path}: a card with both halves is opened by a processor")
    if config.card.storage:
        _check_storage(path, config)
    elif config.disks:
        raise ConfigError(f"{path}: a disk needs a card with storage")
    elif not 1 <= len(tenants) <= config.card.functions:
        raise ConfigError(f"{path}: the card has {config.card.functions} functions")
    if len(wires) > config.card.ports:
        raise ConfigError(f"{path}: the card has {config.card.ports} ports")
    return config


@dataclass(frozen=True)
class _Processor:
    seed: int = 1


def _check_managed(path: Path, config: LiveConfig) -> None:
    """With a processor: all that a card is opened with comes from its clients, and from flash."""
    if config.tenants or config.peers or config.disks:
        raise ConfigError(f"{path}: a card with a processor is configured by its clients alone")
    if config.card.storage and config.card.storage.blk:
        raise ConfigError(f"{path}: there is no firmware for a card of virtio disks")
    if len(config.wires) > config.card.ports:
        raise ConfigError(f"{path}: the card has {config.card.ports} ports")


@dataclass(frozen=True)
class _Port:
    wire: str = "none"


def _check_storage(path: Path, config: LiveConfig) -> None:
    if config.tenants or config.peers:
        raise ConfigError(f"{path}: a storage card has neither functions of a network nor peers")
    storage = config.card.storage
    if len(config.disks) > storage.volumes:
        raise ConfigError(f"{path}: the card has {storage.volumes} volumes")
    if storage.blk:
        functions = [disk.function for disk in config.disks]
        if len(set(functions)) < len(functions):
            raise ConfigError(f"{path}: two disks are of the same function")
        for function in functions:
            if not 0 <= function < storage.functions:
                raise ConfigError(f"{path}: the card has no function {function}")
        return
    taken = [(disk.function, disk.nsid) for disk in config.disks]
    if len(set(taken)) < len(taken):
        raise ConfigError(f"{path}: two disks are the same namespace")
    for function, nsid in taken:
        if not (0 <= function < storage.nvme.functions and 1 <= nsid <= storage.nvme.namespaces):
            raise ConfigError(f"{path}: function {function} has no namespace {nsid}")


def _card(table: dict, storage: dict | None, processor: dict | None) -> CardConfig:
    """Sizes of the card; what the overlay has of them stands beside the others.

    One with storage has an overlay, too, when something is said of it.
    """
    rest, overlay = _split(CardConfig, table)
    if processor is not None:
        sizes = {}
        if storage is not None:
            sizes["ram_bytes"] = BOTH_RAM if overlay else STORAGE_RAM
        rest["soc"] = SocConfig(
            **sizes,
            baud=SocConfig.clock_hz // CONSOLE_BIT,
            noise_seed=_make(_Processor, processor, "processor").seed,
        )
    if storage is None:
        return _make(CardConfig, rest | {"overlay": _make(OverlayConfig, overlay, "card")}, "card")
    own, nvme = _split(StorageConfig, storage)
    if "blk" in own:
        front = {"blk": _make(BlkSizes, own["blk"], "storage.blk")} | nvme
    else:
        front = {"nvme": _make(NvmeConfig, nvme, "storage")}
    half = _make(StorageConfig, own | front, "storage")
    network = _make(OverlayConfig, overlay, "card") if overlay else None
    return _make(CardConfig, rest | {"overlay": network, "storage": half}, "card")


def _split(kind: type, table: dict) -> tuple[dict, dict]:
    """What a configuration has itself, and what one that is within it has."""
    own = {f.name for f in fields(kind)} - {"overlay", "storage", "nvme"}
    inner = {name: value for name, value in table.items() if name not in own}
    return {name: value for name, value in table.items() if name in own}, inner


def _make(kind: type, table: dict, where: str):
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[{where}]: {error}") from None
