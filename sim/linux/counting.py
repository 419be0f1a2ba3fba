"""Counts what a guest's processor carries out, by a plugin of QEMU's."""

import dataclasses
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from .guest import Guest, Machine
from .namespace import Namespace
from .target import Blade

__all__ = ["Count", "Counter", "compared", "compile_program", "plain_guest"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Count:
    """Instructions, at addresses of the kernel and at others."""

    kernel: float
    user: float

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.kernel - other.kernel, self.user - other.user)

    def __mul__(self, factor: float) -> "Count":
        return Count(self.kernel * factor, self.user * factor)


class Counter:
    """A guest whose instructions are counted.

    Parameters
    ----------
    folder
        For the plugin and its counts.
    name
        Of the guest.
    """

    def __init__(self, folder: Path, name: str):
        plugin = folder / "instructions.so"
        compile_program(_HERE / "instructions.c", plugin, "-fPIC", "-shared")
        self._counts = folder / f"{name}.counts"
        self.arguments = ("-plugin", f"{plugin},counts={self._counts}")

    def read(self) -> Count:
        """What the guest has carried out since it was started."""
        return Count(*struct.unpack("=QQ", self._counts.read_bytes()))

    def idle(self, seconds: float = 8) -> Count:
        """What the resting guest does in a second."""
        before, begin = self.read(), time.monotonic()
        time.sleep(seconds)
        return (self.read() - before) * (1 / (time.monotonic() - begin))

    def each(self, work: Callable[[int], None], count: int, rest: Count) -> Count:
        """What one more of ``work`` costs, above what goes on anyway."""
        work(count // 10)
        spent = []
        for number in (count, 3 * count):
            before, begin = self.read(), time.monotonic()
            work(number)
            seconds = time.monotonic() - begin
            spent.append(self.read() - before - rest * seconds)
        return (spent[1] - spent[0]) * (1 / (2 * count))


def plain_guest(
    machine: Machine, name: str, folder: Path, counter: Counter, peer: Namespace | Blade, mac: str
) -> Guest:
    """A guest without a card: QEMU's virtio-net-pci, with that address, at the peer's wire."""
    interface = peer.wire.removeprefix("tap:")
    wire = f"tap,id=wire,ifname={interface},script=no,downscript=no"
    device = f"virtio-net-pci,netdev=wire,mac={mac}"
    return Guest(
        dataclasses.replace(machine, qemu=[*peer.prefix, *machine.qemu]),
        name,
        folder,
        arguments=("-netdev", wire, "-device", device, *counter.arguments),
    )


def compile_program(source: Path, to: Path, *flags: str) -> None:
    """Compile a program of ours for this machine, or for a guest."""
    warnings = ("-Wall", "-Wextra", "-Werror")
    command = ["gcc", "-std=gnu11", "-O2", *warnings, *flags, str(source), "-o", str(to)]
    subprocess.run(command, check=True)


def compared(
    title: str, own_name: str, own: Mapping[str, Count], card: Mapping[str, Count]
) -> Table:
    """A table of what a guest has to do by itself, and with the card."""
    table = Table(title=title)
    for name in ("", own_name, "the card", "of the kernel's"):
        table.add_column(name, justify="right" if name else "left")
    for name, count in card.items():
        cells = (f"{each.kernel:,.0f} + {each.user:,.0f}" for each in (own[name], count))
        table.add_row(name, *cells, f"{count.kernel / own[name].kernel:.0%}")
    return table
