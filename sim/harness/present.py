"""Shows outcomes: the table on the terminal, JUnit and JSON files for machines."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table

from .execute import Outcome

__all__ = ["table", "write_figures", "write_junit"]


def table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each figure, and one for each bench that has none."""
    shown = Table(title="Simulated", title_justify="left")
    shown.add_column("bench", no_wrap=True)
    for name in ("frames", "bytes", "cycles", "rate", "clock", "of limit"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("verdict")
    shown.add_column("wall", justify="right")
    shown.add_column("cycles/s", justify="right")
    for outcome in outcomes:
        ran = sum(not case.skipped for case in outcome.cases)
        good = sum(not case.skipped and case.failure is None for case in outcome.cases)
        verdict = f"[green]pass[/] {good}" if outcome.passed else f"[red]FAIL[/] {good}/{ran}"
        if skipped := len(outcome.cases) - ran:
            verdict += f", [yellow]skipped[/] {skipped}"
        shown.add_row(
            str(outcome.job),
            "",
            "",
            f"{outcome.cycles:,}",
            "",
            "",
            "",
            verdict,
            f"{outcome.seconds:.1f} s",
            f"{outcome.cycles_per_second:,.0f}",
        )
        for record in outcome.records:
            shown.add_row(
                f"  {record.name}",
                f"{record.frames:,}" if record.frames else "",
                f"{record.bytes:,}" if record.bytes else "",
                f"{record.cycles:,}" if record.cycles else "",
                f"{record.value:.3f} {record.unit}" if record.value or record.limit else "",
                f"{record.clock_mhz:g} MHz",
                f"{record.of_limit:.0%}" if record.of_limit is not None else "",
                "",
                "",
                "",
            )
    return shown


def write_junit(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write all tests of a session as one JUnit file; a run that broke is a test of its own."""
    root = ElementTree.Element("testsuites", name="niter")
    for outcome in outcomes:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=str(outcome.job),
            tests=str(len(outcome.cases) + (outcome.error is not None)),
            failures=str(sum(case.failure is not None for case in outcome.cases)),
            errors=str(int(outcome.error is not None)),
            skipped=str(sum(case.skipped for case in outcome.cases)),
            time=f"{outcome.seconds:.3f}",
        )
        properties = ElementTree.SubElement(suite, "properties")
        ElementTree.SubElement(properties, "property", name="seed", value=str(outcome.seed))
        for case in outcome.cases:
            element = _testcase(suite, outcome, case.name, case.seconds)
            if case.skipped:
                ElementTree.SubElement(element, "skipped")
            if case.failure is not None:
                ElementTree.SubElement(element, "failure", message=case.failure)
        if outcome.error is not None:
            element = _testcase(suite, outcome, "run", outcome.seconds)
            ElementTree.SubElement(element, "error", message=outcome.error.splitlines()[-1])
            element[0].text = outcome.error
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def write_figures(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write what was measured as JSON: a list of one object for each figure."""
    figures = [
        {
            "name": record.name,
            "value": record.value,
            "unit": record.unit,
            "limit": record.limit,
            "of_limit": record.of_limit,
            "gts": record.gts,
            "clock_mhz": record.clock_mhz,
        }
        for outcome in outcomes
        for record in outcome.records
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")


def _testcase(
    suite: ElementTree.Element, outcome: Outcome, name: str, seconds: float
) -> ElementTree.Element:
    classname = str(outcome.job).replace("/", ".")
    return ElementTree.SubElement(
        suite, "testcase", classname=classname, name=name, time=f"{seconds:.3f}"
    )
