"""Boots stock Linux on the running card and puts it through the cases; ``make linux``."""

import os
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sim.live.card import CardError, RunningCard
from sim.live.config import load
from sim.live.model import BuildError, build_card

from .cases import CASES, Case, Skip
from .guest import Guest, GuestError, Machine
from .image import PACKAGES, kernel, make_image
from .packages import PackageError, fetch
from .qemu import find_qemu
from .setting import NETWORKS, PEERS, Setting, live_config, start_peer

_BUILD = Path("build/linux")
_MODELS = Path("build/live/models")
_EXAMPLE = Path(__file__).parents[1] / "live" / "example.toml"
_console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Verdict:
    """What a case came to."""

    case: Case
    seconds: float
    failure: str = ""
    skipped: str = ""


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE]...")
@click.option("--seed", envvar="NITER_SEED", default=1, show_default=True, help="Of the host.")
def main(names: tuple[str, ...], seed: int) -> None:
    """Run the named cases (and the first ones, which set addresses), or all."""
    folder = _BUILD.resolve()
    begin = time.monotonic()
    try:
        with _console.status("Fetching QEMU and Linux; building the card"):
            qemu = find_qemu(folder)
            programs = fetch(folder, "guest", PACKAGES)
            machine = Machine(qemu, kernel(programs), make_image(programs, folder / "initrd"))
            base = load(_EXAMPLE)
            program = build_card(base.card, _MODELS)
        _console.print(f"Prepared in {time.monotonic() - begin:.0f} s; seed {seed}")
        chosen = [case for case in CASES if not names or case.name in (*names, "link_up")]
        verdicts, notes, peer = _run(machine, program, base, programs, folder, seed, chosen)
    except (PackageError, BuildError, CardError, GuestError) as error:
        raise click.ClickException(str(error)) from None
    _write_junit(folder / "results.xml", verdicts, peer, seed)
    _show(verdicts, notes, peer)
    _console.print(
        f"{time.monotonic() - begin:.0f} s; {folder}/results.xml, *.console, port0.pcapng"
    )
    # Caches belong to whoever owns the tree, also after a run as root.
    sys.exit(any(verdict.failure for verdict in verdicts))


def _run(machine, program, base, programs, folder, seed, chosen):
    with ExitStack() as stack:
        peer = start_peer(folder, programs)
        stack.callback(peer.stop)
        config = live_config(base, peer.wire, seed)
        card = stack.enter_context(RunningCard(program, config, folder, prefix=peer.prefix))
        networks = {
            vni: (mac, (f"{ipv4}/24", f"{ipv6}/64"))
            for vni, (mac, ipv4, ipv6) in zip(NETWORKS, PEERS, strict=True)
        }
        peer.start(networks)
        if peer.full:
            for _, ipv4, _ in PEERS:
                peer.serve_iperf(ipv4)
        guests = [
            stack.enter_context(Guest(machine, f"guest{n}", folder, function=socket))
            for n, socket in enumerate(card.sockets)
        ]
        for guest in guests:
            guest.wait()
        setting = Setting(card, guests, peer, folder)
        return [_try(case, setting) for case in chosen], setting.notes, peer.what


def _try(case: Case, setting: Setting) -> Verdict:
    begin = time.monotonic()
    failure = skipped = ""
    try:
        case.run(setting)
    except Skip as reason:
        skipped = str(reason)
    except Exception:
        failure = traceback.format_exc()
    verdict = Verdict(case, time.monotonic() - begin, failure, skipped)
    word = "[red]FAIL[/]" if failure else "[yellow]skip[/]" if skipped else "[green]pass[/]"
    _console.print(f"{word} {case.name}  {verdict.seconds:.1f} s")
    return verdict


def _write_junit(path: Path, verdicts: list[Verdict], peer: str, seed: int) -> None:
    suite = ElementTree.Element(
        "testsuite",
        name="linux",
        tests=str(len(verdicts)),
        failures=str(sum(bool(verdict.failure) for verdict in verdicts)),
        skipped=str(sum(bool(verdict.skipped) for verdict in verdicts)),
    )
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="peer", value=peer)
    ElementTree.SubElement(properties, "property", name="seed", value=str(seed))
    for verdict in verdicts:
        element = ElementTree.SubElement(
            suite,
            "testcase",
            classname="linux",
            name=verdict.case.name,
            time=f"{verdict.seconds:.3f}",
        )
        if verdict.failure:
            message = verdict.failure.strip().splitlines()[-1]
            ElementTree.SubElement(element, "failure", message=message).text = verdict.failure
        if verdict.skipped:
            ElementTree.SubElement(element, "skipped", message=verdict.skipped)
    ElementTree.indent(suite)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _show(verdicts: list[Verdict], notes: dict[str, str], peer: str) -> None:
    table = Table(title=f"Stock Linux on the card; peer: {peer}", title_justify="left")
    for name in ("case", "verdict", "wall", "what was seen"):
        table.add_column(name)
    for verdict in verdicts:
        word = (
            "[red]FAIL[/]" if verdict.failure else "skip" if verdict.skipped else "[green]pass[/]"
        )
        seen = verdict.skipped or notes.get(verdict.case.name, "")
        table.add_row(verdict.case.name, word, f"{verdict.seconds:.1f} s", seen)
    _console.print(table)
    for verdict in verdicts:
        if verdict.failure:
            _console.print(f"{verdict.case.name}:\n{verdict.failure}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    os.umask(0o022)
    main()
