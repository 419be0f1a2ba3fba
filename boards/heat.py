"""Where wires are short: what nextpnr's second router leaves after each of its rounds.

With ``--router2-heatmap`` it writes two tables a round: how many times too often wires are used in
each tile, and by which net. When it does not get on, the last of them say what to do: let other
logic keep out of a place, or bring together what a net runs to and fro between.
"""

import csv
import re
from collections import Counter
from pathlib import Path

from .synthesis import readable

__all__ = ["clear_heat", "hottest"]


def clear_heat(folder: Path, prefix: str) -> None:
    """Remove what an earlier run has left in ``folder`` under that prefix."""
    for file in folder.glob(f"{prefix}_congestion_by_*.csv"):
        file.unlink()


def hottest(folder: Path, prefix: str, count: int = 4) -> str:
    """Say where most wires are used twice after the last round, or nothing when none is known.

    Parameters
    ----------
    folder, prefix
        Where the tables are, and what ``--router2-heatmap`` was given.
    count
        Rows, columns and signals that are named, the worst first.
    """
    tiles, nets = (
        _last(folder, f"{prefix}_congestion_by_{kind}") for kind in ("coordinate", "net")
    )
    rows, columns, signals = Counter(), Counter(), Counter()
    for row, line in enumerate(tiles):
        for column, used in enumerate(line):
            if amount := float(used or 0):
                rows[row] += amount
                columns[column] += amount
    for *name, used in nets:
        signals[readable(",".join(name))] += float(used)
    if not rows:
        return ""
    places = (", ".join(str(key) for key, _ in each.most_common(count)) for each in (rows, columns))
    told = "most in rows {} and columns {}".format(*places)
    named = ", ".join(key for key, _ in signals.most_common(count))
    return f"{told}, by {named}" if named else told


def _last(folder: Path, stem: str) -> list[list[str]]:
    """The table of the last round."""
    rounds = {
        int(found[1]): file
        for file in folder.glob(f"{stem}_*.csv")
        if (found := re.fullmatch(rf"{re.escape(stem)}_(\d+)\.csv", file.name))
    }
    if not rounds:
        return []
    with rounds[max(rounds)].open(newline="") as file:
        return [line for line in csv.reader(file) if line]
