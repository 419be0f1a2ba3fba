"""Where nextpnr has put a cell."""

import re
from collections.abc import Mapping
from functools import cache

__all__ = ["place_of"]


def place_of(cell: Mapping) -> tuple[int, int] | None:
    """Column and row of a placed cell, as nextpnr writes it; nothing of one without a place."""
    return _coordinates(cell.get("attributes", {}).get("NEXTPNR_BEL", ""))


@cache
def _coordinates(bel: str) -> tuple[int, int] | None:
    found = re.match(r"X(\d+)/Y(\d+)/", bel)
    return (int(found[1]), int(found[2])) if found else None
