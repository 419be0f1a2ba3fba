"""Where a placed design's block RAMs had better stand, and what had better stand elsewhere.

nextpnr's ``static`` placer finds good places for everything while cells may still lie on each
other. Block RAMs it then moves one by one to the sites that are left, and when nearly all sites are
taken, the last ones go far: in the rows of block RAMs wires run from end to end, and what belongs
to a memory follows it. Here they change places until wires are short, while all else stays; what
is placed anew, with the block RAMs where this puts them, follows.

Logic in the rows beside them takes the wires that their pins need. A row can be kept free of it.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from random import Random

from .places import place_of

__all__ = ["COLUMNS", "FREE", "arrange", "keep_free"]

#: How the names of cells begin that only keep a site free.
FREE = "kept_free_"
#: Columns of logic, by device.
COLUMNS = {"LFE5UM5G-45F": range(2, 89), "LFE5UM5G-85F": range(2, 125)}

_MEMORY = "DP16KD"
#: Pins that take no wires of the fabric: clocks, and what stays within a slice.
_APART = re.compile(r"W?CLK.*|WCK|FC[IO]|FX[AB]|F1|OFX")
#: Nets that are everywhere say nothing of a place.
_EVERYWHERE = 3000
#: Exchanges that are tried for each block RAM; and tiles of wire that one may cost at first.
_TRIES, _COST = 500, 40.0


def arrange(placed: Mapping, seed: int) -> dict[str, str]:
    """Find a site for each block RAM, among those that they have now.

    Simulated annealing of the length of their nets, each as half of its bounding box.

    Parameters
    ----------
    placed
        The top-level module of a placed netlist, as nextpnr writes it.
    seed
        Of what is tried.

    Returns
    -------
    dict
        The site of each block RAM's cell, as nextpnr names it.
    """
    return _Exchange(placed).run(Random(seed))


def keep_free(module: MutableMapping, rows: Iterable[int], columns: Iterable[int]) -> None:
    """Let no LUT be placed in some rows: their sites get cells without a wire.

    Flip-flops may stand there, which take their input from anywhere.

    Parameters
    ----------
    module
        The top-level module that is to be placed; is changed.
    rows, columns
        By nextpnr's numbers.
    """
    for row in rows:
        for column in columns:
            for lut in (f"SLICE{letter}.K{number}" for letter in "ABCD" for number in range(2)):
                site = f"X{column}/Y{row}/{lut}"
                module["cells"][f"{FREE}{site}"] = {
                    "hide_name": 0,
                    "type": "TRELLIS_COMB",
                    "parameters": {"MODE": "LOGIC", "INITVAL": f"{0:016b}", "WREMUX": "WRE"},
                    "attributes": {"BEL": site},
                    "port_directions": {},
                    "connections": {},
                }


class _Exchange:
    """Block RAMs that change places, and how long their nets are."""

    def __init__(self, placed: Mapping):
        others, nets = defaultdict(list), defaultdict(set)
        self._sites: dict[str, str] = {}
        self._tiles: dict[str, tuple[int, int]] = {}
        for name, cell in placed["cells"].items():
            place = place_of(cell)
            if not place:
                continue
            bits = {
                bit
                for pin, each in cell["connections"].items()
                if not _APART.fullmatch(pin)
                for bit in each
                if isinstance(bit, int)
            }
            if cell["type"] == _MEMORY:
                self._sites[name] = cell["attributes"]["NEXTPNR_BEL"]
                self._tiles[name] = place
                for bit in bits:
                    nets[bit].add(name)
            else:
                for bit in bits:
                    others[bit].append(place)
        # Where the other cells of each net are, and which block RAMs are on it; by block RAM, nets.
        self._boxes, self._members, self._nets = {}, {}, defaultdict(list)
        for bit, members in nets.items():
            tiles = others[bit]
            if len(tiles) > _EVERYWHERE or len(tiles) + len(members) < 2:
                continue
            self._boxes[bit] = _box(tiles) if tiles else None
            self._members[bit] = members
            for name in members:
                self._nets[name].append(bit)
        self._lengths = {bit: self._length(bit) for bit in self._members}

    def run(self, rng: Random) -> dict[str, str]:
        names = sorted(self._sites)
        tries = _TRIES * len(names)
        for number in range(tries):
            one, other = rng.choice(names), rng.choice(names)
            if one != other:
                self._try(one, other, rng, _COST * (1 - number / tries) ** 2)
        return self._sites

    def _try(self, one: str, other: str, rng: Random, cost: float) -> None:
        """Exchange two for less wire; or for more, the less likely, the more it is."""
        concerned = {*self._nets[one], *self._nets[other]}
        before = sum(self._lengths[bit] for bit in concerned)
        self._exchange(self._tiles, one, other)
        lengths = {bit: self._length(bit) for bit in concerned}
        more = sum(lengths.values()) - before
        if more <= 0 or rng.random() < math.exp(-more / (cost + 0.01)):
            self._lengths |= lengths
            self._exchange(self._sites, one, other)
        else:
            self._exchange(self._tiles, one, other)

    @staticmethod
    def _exchange(places: dict, one: str, other: str) -> None:
        places[one], places[other] = places[other], places[one]

    def _length(self, bit: int) -> int:
        """Half of a net's bounding box."""
        box = self._boxes[bit]
        tiles = [self._tiles[name] for name in self._members[bit]]
        left, right, top, bottom = _box(
            [*tiles, *(((box[0], box[2]), (box[1], box[3])) if box else ())]
        )
        return right - left + bottom - top


def _box(tiles: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    columns, rows = zip(*tiles, strict=True)
    return min(columns), max(columns), min(rows), max(rows)
