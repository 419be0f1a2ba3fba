"""What nextpnr has placed: cells by room, counted and drawn."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

from .arrangement import FREE
from .places import place_of

__all__ = ["Floorplan"]

_MINE = ("comb", "lut4", "ff", "ebr", "dsp")
#: One colour a room, told apart by any eye (Okabe and Ito), and greys for what is no room.
_COLOURS = {
    "pcie": "#0072b2",
    "virtio": "#e69f00",
    "overlay": "#009e73",
    "mac": "#cc79a7",
    "soc": "#56b4e9",
    "nvme": "#d55e00",
    "storage": "#f0e442",
    "encryption": "#000000",
    "card": "#666666",
    "board": "#999999",
    "nameless": "#cccccc",
}
_TILE = 8


class Floorplan:
    """Cells with their rooms and places, from the design that nextpnr writes.

    Parameters
    ----------
    file
        What ``--write`` gave.
    room_of
        Room of a cell by its name.
    """

    def __init__(self, file: Path, room_of: Callable[[str], str]):
        cells = json.loads(file.read_text())["modules"]["top"]["cells"]
        self.rooms: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_MINE, 0))
        self._tiles: dict[tuple[int, int], Counter] = defaultdict(Counter)
        for name, cell in cells.items():
            kinds = self._kinds(cell)
            if not kinds or name.startswith(FREE):
                continue
            room = room_of(name)
            for kind in kinds:
                self.rooms[room][kind] += 1
            if place := place_of(cell):
                self._tiles[place][room] += 1

    @staticmethod
    def _kinds(cell) -> tuple[str, ...]:
        """What a cell counts as. Of COMB, LUTs are those that are neither carry nor RAM."""
        match cell["type"]:
            case "TRELLIS_COMB":
                logic = cell["parameters"].get("MODE", "LOGIC").strip() == "LOGIC"
                return ("comb", "lut4") if logic else ("comb",)
            case "TRELLIS_FF":
                return ("ff",)
            case "DP16KD" | "PDPW16KD":
                return ("ebr",)
            case "MULT18X18D" | "ALU54B":
                return ("dsp",)
        return ()

    @property
    def total(self) -> dict[str, int]:
        """All rooms together."""
        return {kind: sum(room[kind] for room in self.rooms.values()) for kind in _MINE}

    def svg(self, title: str) -> str:
        """The device, a square a tile, in the colour of the room that has most cells in it."""
        columns = max(x for x, _ in self._tiles) + 1
        rows = max(y for _, y in self._tiles) + 1
        squares = defaultdict(list)
        for (x, y), rooms in sorted(self._tiles.items()):
            room = min(rooms, key=lambda each: (-rooms[each], each))
            squares[room].append(f"M{x} {y}h1v1h-1z")
        shown = sorted(squares, key=lambda room: -len(squares[room]))
        width, height = columns * _TILE, rows * _TILE
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height + 60}" '
            'font-family="sans-serif" font-size="14">',
            f"<title>{title}</title>",
            f'<rect width="{width}" height="{height + 60}" fill="#ffffff"/>',
            f'<rect width="{width}" height="{height}" fill="#f4f4f4"/>',
            f'<g transform="scale({_TILE})">',
            *(f'<path fill="{_colour(room)}" d="{"".join(squares[room])}"/>' for room in shown),
            "</g>",
            f'<text x="4" y="{height + 20}">{title}</text>',
        ]
        for number, room in enumerate(shown):
            left = 4 + number * width // max(len(shown), 1)
            lines += [
                f'<rect x="{left}" y="{height + 32}" width="14" height="14" '
                f'fill="{_colour(room)}"/>',
                f'<text x="{left + 19}" y="{height + 44}">{room}</text>',
            ]
        return "\n".join([*lines, "</svg>", ""])


def _colour(room: str) -> str:
    return _COLOURS.get(room, "#999999")
