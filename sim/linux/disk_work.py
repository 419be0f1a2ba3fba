"""What a guest's processor has to do for its blocks: with the card, and with AoE of its own.

The same guest twice, against the same ``vblade`` with the same file: with an NVMe controller of
the card, and with QEMU's virtio-net-pci, over which Linux' own ``aoe`` speaks with the target.
Blocks of 4 KiB are read and written past the cache, one after the other. A plugin of QEMU's counts
the guest's instructions for so many blocks, and then for three times as many; the difference has
not what a command costs, and what the resting guest does in the same time is subtracted. Needs
root.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.table import Table

from sim.live.card import RunningCard
from sim.live.config import load
from sim.live.model import build_card
from sim.models.aoe import SECTOR

from .counting import Count, Counter, compared, plain_guest
from .disk_setting import DEVICE, wait_for_device
from .guest import Guest, Machine
from .image import STORAGE, kernel, make_image
from .packages import fetch
from .qemu import find_qemu
from .target import SHELF, SLOT, Blade
from .verdicts import console

_LIVE = Path(__file__).parents[1] / "live"
_BLOCK = 4096
_BLOCKS = 200
#: Of the guest's own interface, where it has no card.
_GUEST_MAC = "02:00:00:00:00:01"
_OWN = dataclasses.replace(STORAGE, modules=("virtio_pci", "virtio_net", "aoe"))


@contextmanager
def _with_card(machine: Machine, folder: Path, disk: Path) -> Iterator[tuple]:
    """A guest with an NVMe drive; its blocks are the first of the target's file."""
    base = load(_LIVE / "storage.toml")
    program = build_card(base.card, Path("build/live/models"))
    with ExitStack() as stack:
        target = Blade(disk, folder.parent)
        stack.callback(target.stop)
        config = dataclasses.replace(base, wires=(target.wire,))
        card = stack.enter_context(RunningCard(program, config, folder, prefix=target.prefix))
        target.start()
        counter = Counter(folder, "nvme")
        guest = Guest(
            machine, "nvme", folder, function=card.sockets[0], arguments=counter.arguments
        )
        stack.enter_context(guest).wait()
        wait_for_device(guest)
        yield guest, counter, DEVICE


@contextmanager
def _with_own(machine: Machine, folder: Path, disk: Path) -> Iterator[tuple]:
    """A guest that asks the target itself, over QEMU's virtio-net-pci."""
    with ExitStack() as stack:
        target = Blade(disk, folder.parent)
        stack.callback(target.stop)
        counter = Counter(folder, "aoe")
        guest = plain_guest(machine, "aoe", folder, counter, target, _GUEST_MAC)
        stack.enter_context(guest).wait()
        target.start()
        guest.run("/bin/ip link set eth0 up")
        found = f"/dev/etherd/e{SHELF}.{SLOT}"
        guest.run(f"for n in $(seq 60); do test -b {found} && break; sleep 1; done")
        guest.run(f"test -b {found}")
        yield guest, counter, found


def measure(guest: Guest, counter: Counter, device: str) -> dict[str, Count]:
    """Instructions for each block, by what was done with it."""
    rest = counter.idle()
    found = {"at rest, a second": rest}

    def note(name: str, work: Callable[[int], None]) -> None:
        found[name] = counter.each(work, _BLOCKS, rest)
        console.print(f"{guest.name}: {name}: {found[name]}", highlight=False)

    def copy(count: int, what: str) -> None:
        guest.run(f"dd {what} bs={_BLOCK} count={count} 2>/dev/null", timeout=600)

    note("nothing read: dd from zeros to nowhere", lambda n: copy(n, "if=/dev/zero of=/dev/null"))
    note("4 KiB read", lambda n: copy(n, f"if={device} of=/dev/null iflag=direct"))
    note("4 KiB written", lambda n: copy(n, f"if=/dev/zero of={device} oflag=direct"))
    return found


def count_blocks(folder: Path) -> Table:
    """Count, and make a table for docs/linux.md; keeps consoles and counts in ``folder``."""
    programs = fetch(folder.parent, "disk", STORAGE.packages)
    disk = folder / "disk"
    disk.write_bytes(bytes(2 * 65536 * SECTOR))
    qemu = find_qemu(folder.parent)
    results = []
    for make, contents, name in ((_with_own, _OWN, "aoe"), (_with_card, STORAGE, "nvme")):
        image = make_image(programs, contents, folder / f"{name}.initrd")
        with make(Machine(qemu, kernel(programs), image), folder, disk) as parts:
            results.append(measure(*parts))
    title = "Instructions of the guest for each block: kernel's, and others"
    return compared(title, "AoE in the guest", *results)
