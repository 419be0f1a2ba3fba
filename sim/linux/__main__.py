"""Boots stock Linux on the running card and puts it through the cases; ``make linux``."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from amaranth.hdl import UnusedElaboratable

from niter.card import CardConfig
from sim.live.card import CardError, RunningCard
from sim.live.config import Host, LiveConfig, load
from sim.live.model import BuildError, build_card
from sim.live.storage import Disk
from sim.models.aoe import SECTOR

from . import disk_cases, disk_hotplug, disk_resets, disk_tenants  # noqa: F401 (they add to DISK_CASES, in this order)
from .boot_disk import boot_disk
from .cases import CASES, Case, Skip
from .disk_hotplug import SECTORS as EXTRA_SECTORS
from .disk_setting import CASES as DISK_CASES
from .disk_setting import DiskSetting, source_tree
from .guest import Guest, GuestError, Machine
from .image import DISKS, NETWORK, SMALL, STORAGE, Contents, make_image
from .machine import make_machine
from .packages import PackageError
from .setting import NETWORKS, PEERS, Setting, live_config, start_peer
from .target import start_target
from .verdicts import Run, Verdict, console, show, write_junit
from .virtio_disk import CASES as VIRTIO_CASES
from .virtio_disk import DEVICE as VIRTIO_DEVICE

_BUILD = Path("build/linux")
_MODELS = Path("build/live/models")
_LIVE = Path(__file__).parents[1] / "live"
_FILES = {"network": "example.toml", "storage": "storage.toml", "disks": "disks.toml"}


@click.command()
@click.argument("names", nargs=-1, metavar="[network | storage | disks | CASE]...")
@click.option("--short", is_flag=True, help="Leave out cases of several minutes.")
@click.option("--seed", envvar="NITER_SEED", default=1, show_default=True, help="Of the host.")
def main(names: tuple[str, ...], short: bool, seed: int) -> None:
    """Run the named cases (and the first one of their card), all of a card, or all."""
    # Of cards whose registers are asked for, and nothing else.
    warnings.simplefilter("ignore", UnusedElaboratable)
    folder = _BUILD.resolve()
    begin = time.monotonic()
    plan = {}
    for card, (cases, first, _) in _CARDS.items():
        chosen = [case for case in cases if not names or {case.name, card} & set(names)]
        chosen = [case for case in chosen if not (short and case.long)]
        if chosen:
            plan[card] = [case for case in cases if case.name == first or case in chosen]
    runs = []
    try:
        with _built_ahead(list(plan)[1:]):
            for card, chosen in plan.items():
                runs.append(_CARDS[card][2](folder, seed, chosen))
    except (PackageError, BuildError, CardError, GuestError) as error:
        raise click.ClickException(str(error)) from None
    if not runs:
        raise click.ClickException("There is no such case")
    write_junit(folder / "results.xml", runs, seed)
    for done in runs:
        show(done)
    console.print(f"{time.monotonic() - begin:.0f} s; {folder}: results.xml, consoles, captures")
    # Caches belong to whoever owns the tree, also after a run as root.
    sys.exit(any(verdict.failure for done in runs for verdict in done.verdicts))


@contextmanager
def _built_ahead(cards: Sequence[str]) -> Iterator[None]:
    """Build the models of these cards meanwhile; a failure is said by their run."""
    build = f"nice {sys.executable} -m sim.live build"
    command = "; ".join(f"{build} {_LIVE / _FILES[card]}" for card in cards)
    shell = subprocess.Popen(
        ["sh", "-c", command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGTERM)
        shell.wait()


def _prepare(folder: Path, name: str, contents: Contents, card: CardConfig, *, image: str = ""):
    """What boots, what its packages are, and the card's program."""
    begin = time.monotonic()
    with console.status("Fetching QEMU and Linux; building the card"):
        own = source_tree() if card.storage else {}
        machine, programs = make_machine(folder, name, contents, image=image, own=own)
        program = build_card(card, _MODELS)
    console.print(f"Prepared in {time.monotonic() - begin:.0f} s")
    return machine, programs, program


def _run_network(folder: Path, seed: int, chosen: list[Case]) -> Run:
    base = load(_LIVE / _FILES["network"])
    machine, programs, program = _prepare(folder, "guest", NETWORK, base.card)
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
        verdicts = [_try(case, setting) for case in chosen]
        return Run("network", peer.what, verdicts, setting.notes)


def _run_storage(folder: Path, seed: int, chosen: list[Case]) -> Run:
    base = load(_LIVE / _FILES["storage"])
    machine, programs, program = _prepare(folder, "disk", STORAGE, base.card)
    own = folder / "storage"
    own.mkdir(exist_ok=True)
    disk = own / "disk"
    small = make_image(programs, SMALL, folder / "small.initrd")
    _fill(disk, base.disks, seed, boot_disk(machine.kernel, small, folder))
    with ExitStack() as stack:
        card, guest, target = _start_disk(stack, folder, disk, base, seed, machine, program)
        setting = DiskSetting(card, guest, target, Machine(machine.qemu), stack, own, programs)
        verdicts = [_try(case, setting) for case in chosen]
        return Run("storage", target.what, verdicts, setting.notes)


def _run_disks(folder: Path, seed: int, chosen: list[Case]) -> Run:
    base = load(_LIVE / _FILES["disks"])
    machine, programs, program = _prepare(folder, "disk", DISKS, base.card, image="disks")
    own = folder / "disks"
    own.mkdir(exist_ok=True)
    disk = own / "disk"
    end = max(each.first + each.length for each in base.disks)
    disk.write_bytes(random.Random(seed).randbytes(end * SECTOR))
    with ExitStack() as stack:
        card, guest, target = _start_disk(stack, folder, disk, base, seed, machine, program)
        setting = DiskSetting(card, guest, target, None, stack, own, programs, device=VIRTIO_DEVICE)
        verdicts = [_try(case, setting) for case in chosen]
        return Run("disks", target.what, verdicts, setting.notes)


def _start_disk(
    stack: ExitStack,
    folder: Path,
    disk: Path,
    base: LiveConfig,
    seed: int,
    machine: Machine,
    program: Path,
):
    """A card with its target behind it and a guest before it, all in the disk's folder."""
    own = disk.parent
    target = start_target(disk, folder)
    stack.callback(target.stop)
    host = Host(seed=seed, stall=0.02, latency=20, spread=60, split=0.5)
    config = dataclasses.replace(base, host=host, wires=(target.wire,))
    managed = config.card.storage.nvme is not None
    card = stack.enter_context(
        RunningCard(program, config, own, prefix=target.prefix, managed=managed)
    )
    target.start()
    # A pair of I/O queues for each of its processors.
    guest = Guest(machine, "guest", own, function=card.sockets[0], arguments=("-smp", "2"))
    stack.enter_context(guest)
    guest.wait()
    return card, guest, target


def _fill(path: Path, disks: Sequence[Disk], seed: int, bootable: bytes) -> None:
    """Make the target's file: chance, what the second of its disks boots, and room for one more."""
    end = max(disk.first + disk.length for disk in disks) + EXTRA_SECTORS
    content = bytearray(random.Random(seed).randbytes(end * SECTOR))
    second = disks[1]
    if len(bootable) > second.length * SECTOR:
        raise ValueError(f"The second disk is too small for {len(bootable)} bytes")
    begin = second.first * SECTOR
    content[begin : begin + len(bootable)] = bootable
    path.write_bytes(content)


#: For each card its cases, the one that prepares the others, and how they are run.
_CARDS = {
    "network": (CASES, "link_up", _run_network),
    "storage": (DISK_CASES, "probe", _run_storage),
    "disks": (VIRTIO_CASES, "virtio_probe", _run_disks),
}


def _try(case: Case, setting: Setting | DiskSetting) -> Verdict:
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
    console.print(f"{word} {case.name}  {verdict.seconds:.1f} s")
    if failure:
        console.print(failure.strip().splitlines()[-1], markup=False)
    return verdict


if __name__ == "__main__":
    os.umask(0o022)
    main()
