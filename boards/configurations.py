"""Which card a bitstream holds, and to which room of the ledger a cell belongs."""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from niter.card import Card, CardConfig, StorageConfig
from niter.net import OverlayConfig
from niter.soc import SocConfig
from niter.soc.config import ROM_BYTES

__all__ = [
    "BLANK_ROM",
    "CONFIGURATIONS",
    "ROOM_PATHS",
    "Configuration",
    "find_configuration",
    "room_of",
]

#: What stands in the boot ROM while a card is placed. No bit of it is like another, so that it is
#: found again, and a card need not be placed anew when its firmware changes.
BLANK_ROM = struct.unpack(f"<{ROM_BYTES // 4}I", hashlib.shake_128(b"ROM").digest(ROM_BYTES))

_SOC = SocConfig(rom=BLANK_ROM)
#: A storage card's firmware is longer, and more so that of a card with both halves.
_STORAGE_SOC = SocConfig(rom=BLANK_ROM, ram_bytes=76 * 1024)
_FULL_SOC = SocConfig(rom=BLANK_ROM, ram_bytes=80 * 1024)
#: The board's own registers: four words, and two for each port's PHY.
_BOARD_REGISTERS = 3


@dataclass(frozen=True)
class Configuration:
    """A card.

    Parameters
    ----------
    name
        What ``CONFIG=`` takes.
    config
        What makes it.
    rooms
        The ledger: COMB and EBR of each room of ``ROOM_PATHS`` that is in it.
    board
        The one that it is for.
    seed
        One with which its present netlist was routed and met every constraint, or came nearest.
    free_rows
        Rows beside those of block RAMs that are kept free of LUTs. With any it is placed twice, the
        second time with block RAMs in better places; see ``arrangement``.
    """

    name: str
    config: CardConfig
    rooms: Mapping[str, tuple[int, int]]
    board: str = "versa"
    seed: int = 1
    free_rows: tuple[int, ...] = ()

    def card(self) -> Card:
        """Make it."""
        return Card(self.config)


_PCIE, _VIRTIO, _OVERLAY, _MAC = (9000, 10), (5000, 14), (3000, 10), (1000, 8)
_NVME, _STORAGE, _PROCESSOR = (7000, 14), (3500, 12), (6000, 54)
_NETWORK = {"pcie": _PCIE, "virtio": _VIRTIO, "overlay": _OVERLAY, "mac": _MAC}

CONFIGURATIONS = {
    each.name: each
    for each in (
        # A serial line is in the processor's place: through it a new board can be looked at.
        Configuration(
            "bare",
            CardConfig(overlay=OverlayConfig(functions=2)),
            _NETWORK,
        ),
        # With firmware behind the control queues, of seeds 1 to 7 the router leaves wires, or the
        # clock stays at 78 MHz.
        Configuration(
            "network",
            CardConfig(
                overlay=OverlayConfig(functions=2),
                soc=_SOC,
                commands=False,
                board_registers=_BOARD_REGISTERS,
            ),
            {**_NETWORK, "soc": _PROCESSOR},
            seed=2,
        ),
        # A 45F has 108 block RAMs: frames are of three sectors, and targets have 8 KiB under way at
        # once.
        Configuration(
            "storage",
            CardConfig(
                overlay=None,
                storage=StorageConfig(receive_beats=1024),
                soc=_STORAGE_SOC,
                board_registers=_BOARD_REGISTERS,
            ),
            {"pcie": _PCIE, "nvme": _NVME, "storage": _STORAGE, "mac": _MAC, "soc": _PROCESSOR},
            seed=4,
        ),
        # An 85F has 208 block RAMs: broadcasts of more than 4 KiB go to one station alone, and
        # targets have 8 KiB under way at once.
        Configuration(
            "full",
            CardConfig(
                overlay=OverlayConfig(
                    functions=2,
                    ports=2,
                    ipv6=True,
                    geneve=True,
                    verify=True,
                    peers=64,
                ),
                storage=StorageConfig(receive_beats=1024, encryption=True),
                frame_bytes=9600,
                soc=_FULL_SOC,
                board_registers=_BOARD_REGISTERS,
            ),
            {
                "pcie": _PCIE,
                "virtio": (6500, 16),
                "overlay": (4000, 12),
                "nvme": _NVME,
                "storage": _STORAGE,
                "encryption": (6000, 2),
                "mac": (2000, 40),
                "soc": (6000, 64),
            },
            board="versa85",
            seed=2,
            free_rows=(21, 23, 45, 47, 69, 71),
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
    "card.storage.encryption": "encryption",
    "card.storage": "storage",
    "card.soc": "soc",
    "card.masters": "soc",
    "card.wire.local": "mac",
    "card.wire.mac_": "mac",
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
