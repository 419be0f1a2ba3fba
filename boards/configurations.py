"""Which card a bitstream holds, and to which room of the ledger a cell belongs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from amaranth.lib import wiring

from niter.card import Card, CardConfig, StorageConfig
from niter.net import OverlayConfig

__all__ = ["CONFIGURATIONS", "ROOM_PATHS", "Configuration", "find_configuration", "room_of"]


@dataclass(frozen=True)
class Configuration:
    """A card.

    Parameters
    ----------
    name
        What ``CONFIG=`` takes.
    card
        Makes it.
    holds
        For the documents: what is in it.
    rooms
        The ledger: COMB and EBR of each room of ``ROOM_PATHS`` that is in it.
    """

    name: str
    card: Callable[[], wiring.Component]
    holds: str
    rooms: Mapping[str, tuple[int, int]]


def _network() -> Card:
    return Card(CardConfig(overlay=OverlayConfig(functions=2)))


def _storage() -> Card:
    return Card(CardConfig(overlay=None, storage=StorageConfig(), frame_bytes=4200))


CONFIGURATIONS = {
    each.name: each
    for each in (
        Configuration(
            "network",
            _network,
            "two virtio-net functions with four queue pairs each, an overlay of VXLAN over IPv4, "
            "one port with frames up to 2,000 bytes, a UART in the processor's place",
            {"pcie": (9000, 10), "virtio": (5000, 14), "overlay": (3000, 10), "mac": (1000, 8)},
        ),
        Configuration(
            "storage",
            _storage,
            "two NVMe controllers with four pairs of I/O queues each, 16 volumes at AoE targets, "
            "one port with frames up to 4,200 bytes, a UART in the processor's place",
            {"pcie": (9000, 10), "nvme": (7000, 14), "storage": (3500, 12), "mac": (1000, 8)},
        ),
    )
}

#: Names of submodules from the top, and the room that they and all below them belong to. The
#: first that fits counts.
ROOM_PATHS = {
    "card.pcie": "pcie",
    "card.net": "virtio",
    "card.overlay": "overlay",
    "card.storage.nvme": "nvme",
    "card.storage.blk": "blk",
    "card.storage": "storage",
    "card.local": "mac",
    "card.mac_": "mac",
    "card": "card",
    "lane": "pcie",
}
#: What joins the card to the pins, and what has no name to tell it by.
BOARD, NAMELESS = "board", "nameless"


def find_configuration(name: str) -> Configuration:
    """The configuration of that name.

    Raises
    ------
    LookupError
        If there is none.
    """
    if name not in CONFIGURATIONS:
        raise LookupError(
            f"No configuration is called {name!r}; there are: {', '.join(CONFIGURATIONS)}"
        )
    return CONFIGURATIONS[name]


def room_of(cell: str) -> str:
    """The room that a cell of a flattened netlist belongs to, by its name.

    Synthesis calls logic after the signal that it makes; what stands between rooms counts for
    the one whose signal it makes.
    """
    if cell.startswith("$"):
        return NAMELESS
    for path, room in ROOM_PATHS.items():
        if cell.startswith(path):
            return room
    return BOARD
