"""The configuration file of a running card: TOML, checked against what there is."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from niter.card import CardConfig
from niter.net import OverlayConfig
from sim.models.opening import Endpoint, Peer, Tenant

__all__ = ["ConfigError", "Host", "LiveConfig", "load"]


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
        What the card is opened with; a function for each tenant.
    wires
        What each port's cable ends in.
    """

    card: CardConfig
    host: Host = field(default_factory=Host)
    endpoint: Endpoint = field(default_factory=Endpoint)
    tenants: tuple[Tenant, ...] = ()
    peers: tuple[Peer, ...] = ()
    wires: tuple[str, ...] = ()


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
    known = {"card", "host", "endpoint", "function", "peer", "port"}
    if unknown := set(text) - known:
        raise ConfigError(f"{path}: no such table: {', '.join(sorted(unknown))}")
    tenants = tuple(_make(Tenant, table, "function") for table in text.get("function", []))
    wires = tuple(_make(_Port, table, "port").wire for table in text.get("port", []))
    config = LiveConfig(
        card=_card(text.get("card", {})),
        host=_make(Host, text.get("host", {}), "host"),
        endpoint=_make(Endpoint, text.get("endpoint", {}), "endpoint"),
        tenants=tenants,
        peers=tuple(_make(Peer, table, "peer") for table in text.get("peer", [])),
        wires=wires,
    )
    if not 1 <= len(tenants) <= config.card.functions:
        raise ConfigError(f"{path}: the card has {config.card.functions} functions")
    if len(wires) > config.card.ports:
        raise ConfigError(f"{path}: the card has {config.card.ports} ports")
    return config


@dataclass(frozen=True)
class _Port:
    wire: str = "none"


def _card(table: dict) -> CardConfig:
    """Sizes of the card; what the overlay has of them stands beside the others."""
    own = {f.name for f in fields(CardConfig)} - {"overlay", "storage"}
    overlay = {name: value for name, value in table.items() if name not in own}
    rest = {name: value for name, value in table.items() if name in own}
    return _make(CardConfig, rest | {"overlay": _make(OverlayConfig, overlay, "card")}, "card")


def _make(kind: type, table: dict, where: str):
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[{where}]: {error}") from None
