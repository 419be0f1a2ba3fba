"""What the cases came to: as a table, and for machines."""

import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .cases import Case

__all__ = ["Run", "Verdict", "console", "show", "write_junit"]

console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Verdict:
    """What a case came to."""

    case: Case
    seconds: float
    failure: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Run:
    """The verdicts on a card, and what they were come to with."""

    card: str
    peer: str
    verdicts: list[Verdict]
    notes: dict[str, str]


def write_junit(path: Path, runs: list[Run], seed: int) -> None:
    """Leave the verdicts of all cards in a file, a test suite each."""
    root = ElementTree.Element("testsuites")
    for run in runs:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"linux.{run.card}",
            tests=str(len(run.verdicts)),
            failures=str(sum(bool(verdict.failure) for verdict in run.verdicts)),
            skipped=str(sum(bool(verdict.skipped) for verdict in run.verdicts)),
        )
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", name="peer", value=run.peer)
        ElementTree.SubElement(properties, "property", name="seed", value=str(seed))
        for verdict in run.verdicts:
            element = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"linux.{run.card}",
                name=verdict.case.name,
                time=f"{verdict.seconds:.3f}",
            )
            if verdict.failure:
                message = verdict.failure.strip().splitlines()[-1]
                ElementTree.SubElement(element, "failure", message=message).text = verdict.failure
            if verdict.skipped:
                ElementTree.SubElement(element, "skipped", message=verdict.skipped)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def show(run: Run) -> None:
    """Print a card's verdicts as a table, and what failed below it."""
    title = f"Stock Linux on the {run.card} card; peer: {run.peer}"
    table = Table(title=title, title_justify="left")
    for name in ("case", "verdict", "wall", "what was seen"):
        table.add_column(name)
    for verdict in run.verdicts:
        word = (
            "[red]FAIL[/]" if verdict.failure else "skip" if verdict.skipped else "[green]pass[/]"
        )
        seen = verdict.skipped or run.notes.get(verdict.case.name, "")
        table.add_row(verdict.case.name, word, f"{verdict.seconds:.1f} s", seen)
    console.print(table)
    for verdict in run.verdicts:
        if verdict.failure:
            console.print(f"{verdict.case.name}:\n{verdict.failure}", markup=False, soft_wrap=True)
