"""What is in which configuration, and what it costs: ``python -m boards.costs``.

Writes ``docs/boards/costs.md`` from the reports of the bitstreams that were built, and puts the
pictures of their floorplans beside it. One that was not built here keeps the figures and the
picture that are there.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from niter.card import CardConfig

from .configurations import BOARD, CONFIGURATIONS, NAMELESS, Configuration

__all__ = ["costs_markdown", "main"]

_ROOT = Path(__file__).parents[1]
_BUILD, _DOCS = _ROOT / "build", _ROOT / "docs" / "boards"
_NOT_ROOMS = {
    "card": "what joins the rooms",
    BOARD: "clocks, RGMII, MDIO, flash, serial line, lights",
    NAMELESS: "carry chains' ends, made by nextpnr",
}


def costs_markdown(reports: Mapping[str, Mapping], before: str = "") -> str:
    """The page.

    Parameters
    ----------
    reports
        Content of ``report.json`` by the name of its folder, ``<board>-<configuration>``.
    before
        The page as it was: sections of configurations that are not among ``reports`` stay.
    """
    lines = ["# What the configurations cost", "", "Written by `make costs`.", ""]
    lines += _contents([each.config for each in CONFIGURATIONS.values()])
    sections = {}
    for section in before.split("\n## ")[1:]:
        folder = section.split("\n", 1)[0]
        if folder.split("-", 1)[-1] in CONFIGURATIONS:
            sections[folder] = ["## " + section.rstrip()]
    for folder, report in reports.items():
        sections[folder] = _section(folder, report, CONFIGURATIONS[report["config"]])
    for folder in sorted(sections):
        lines += ["", *sections[folder]]
    return "\n".join([*lines, ""])


def _contents(cards: Sequence[CardConfig]) -> list[str]:
    """What is in which."""
    rows = {
        "virtio-net functions": [_number(each.network_functions, each.pairs) for each in cards],
        "overlay": [_overlay(each) for each in cards],
        "NVMe controllers": [
            _number(each.storage.functions, each.storage.nvme.queues) if each.storage else ""
            for each in cards
        ],
        "volumes at AoE targets": [
            f"{each.storage.volumes}{', encrypted' * each.storage.encryption}"
            if each.storage
            else ""
            for each in cards
        ],
        "Ethernet ports": [f"{each.ports}" for each in cards],
        "longest frame": [f"{each.frame_bytes:,}" for each in cards],
        "processor": [
            f"{each.soc.ram_bytes // 1024} KiB" if each.soc else "a serial line" for each in cards
        ],
    }
    return [
        "| `CONFIG=` | " + " | ".join(f"`{name}`" for name in CONFIGURATIONS) + " |",
        "|---" * (len(cards) + 1) + "|",
        *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()),
    ]


def _number(functions: int, pairs: int) -> str:
    return f"{functions}, of {pairs} queue pairs" if functions else ""


def _overlay(card: CardConfig) -> str:
    if not card.overlay:
        return ""
    tunnels = "VXLAN, GENEVE" if card.overlay.geneve else "VXLAN"
    return f"{tunnels} over {'IPv4, IPv6' if card.overlay.ipv6 else 'IPv4'}"


def _section(folder: str, report: Mapping, configuration: Configuration) -> list[str]:
    total, rooms = report["total"], report["rooms"]
    lines = [
        f"## {folder}",
        "",
        f"{report['device']}, seed {report['seed']}; placed and routed, simulated by nextpnr's "
        "timing model.",
        "",
        "| room | COMB | ledger | FF | EBR | ledger |",
        "|---|---|---|---|---|---|",
    ]
    for room in sorted(rooms, key=lambda each: (each in _NOT_ROOMS, each)):
        cells = rooms[room]
        comb, ebr = configuration.rooms.get(room, ("", ""))
        name = f"{room}: {_NOT_ROOMS[room]}" if room in _NOT_ROOMS else room
        lines.append(
            f"| {name} | {_against(cells['comb'], comb)} | {_shown(comb)} | {cells['ff']:,} | "
            f"{_against(cells['ebr'], ebr)} | {_shown(ebr)} |"
        )
    comb, ebr = (sum(each[n] for each in configuration.rooms.values()) for n in (0, 1))
    lines += [
        f"| **sum** | {_against(total['comb'], comb)} | {comb:,} | {total['ff']:,} | "
        f"{_against(total['ebr'], ebr)} | {ebr} |",
        "",
        "| clock | wanted MHz | reached MHz |",
        "|---|---|---|",
        *(
            f"| `{clock}` | {each['constraint_mhz']:g} | {each['fmax_mhz']:.1f} |"
            for clock, each in report["clocks"].items()
        ),
        "",
        f"![{folder}, a square a tile, in the colour of the room with most cells in it]"
        f"({folder}.svg)",
    ]
    return lines


def _against(value: int, limit: int | str) -> str:
    return f"**{value:,}**" if isinstance(limit, int) and value > limit else f"{value:,}"


def _shown(limit: int | str) -> str:
    return f"{limit:,}" if isinstance(limit, int) else ""


@click.command()
def main() -> None:
    """Write the page on costs from what was built."""
    reports = {
        path.parent.name: json.loads(path.read_text())
        for path in sorted(_BUILD.glob("*/report.json"))
    }
    reports = {
        name: report for name, report in reports.items() if report.get("config") in CONFIGURATIONS
    }
    if not reports:
        raise click.ClickException("No bitstream was built; make bitstream builds one")
    _DOCS.mkdir(parents=True, exist_ok=True)
    page = _DOCS / "costs.md"
    page.write_text(costs_markdown(reports, page.read_text() if page.exists() else ""))
    for name in reports:
        shutil.copy(_BUILD / name / "floorplan.svg", _DOCS / f"{name}.svg")
    click.echo(f"{page}: {', '.join(reports)}")


if __name__ == "__main__":
    main()
