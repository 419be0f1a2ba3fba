"""An unmodified vblade in a network namespace of its own, and a raw socket at its other end."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim.linux.packages import PackageError, fetch

__all__ = ["SHELF", "SLOT", "TARGET", "US", "Blade", "blade"]

_ROOT = Path(__file__).parents[2]
_ETHERTYPE = 0x88A2
_NEW_NET = 0x40000000

TARGET = "02:bb:00:00:00:a0"
US = "02:00:00:00:0a:0e"
SHELF, SLOT = 7, 3


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _socket_in(namespace: str, interface: str) -> socket.socket:
    """A raw socket on an interface of a namespace; it stays there, and we do not."""
    made = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", namespace).open() as file:
            if libc.setns(file.fileno(), _NEW_NET):
                raise OSError(ctypes.get_errno(), "setns")
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
        wire.bind((interface, _ETHERTYPE))
        made.append(wire)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


class Blade:
    """A running vblade.

    Members
    -------
    mac, shelf, slot, sectors, buffers
        As ``Station.attach`` wants to know them.
    disk
        Its file.
    wire
        A raw socket at the other end of its cable.
    """

    mac, shelf, slot, sectors, buffers = TARGET, SHELF, SLOT, 2, 16

    def __init__(self, disk: Path, wire: socket.socket):
        self.disk = disk
        self.wire = wire

    def ask(self, frame: bytes) -> bytes:
        """The answer to a frame, or nothing."""
        self.wire.settimeout(2)
        self.wire.send(frame)
        try:
            # Others' frames, and the announcement that a target makes, have other tags.
            while (answer := self.wire.recv(9100))[20:24] != frame[20:24]:
                pass
        except TimeoutError:
            return b""
        return answer


@contextmanager
def blade(disk: Path, *options: str) -> Iterator[Blade]:
    """Start it with a disk; skips the test where that cannot be done."""
    if os.geteuid():
        pytest.skip("vblade needs a network namespace, and that needs root")
    name = f"niter-aoe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here")
    started = wire = None
    try:
        try:
            programs = fetch(_ROOT / "build" / "linux", "vblade", ["vblade"])
        except PackageError as reason:
            pytest.skip(f"no vblade: {reason}")
        _ip("-n", name, "link", "add", "target", "address", TARGET, "type", "veth", "peer", "us")
        _ip("-n", name, "link", "set", "us", "address", US, "mtu", "9000", "up")
        _ip("-n", name, "link", "set", "target", "mtu", "1500", "up")
        command = ["ip", "netns", "exec", name, *programs.command("usr/sbin/vblade")]
        command += ["-b", "16", *options, str(SHELF), str(SLOT), "target", str(disk)]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert "sectors" in started.stdout.readline()
        wire = _socket_in(name, "us")
        yield Blade(disk, wire)
    finally:
        if wire is not None:
            wire.close()
        if started is not None:
            started.terminate()
            # Also closes its pipe.
            started.communicate()
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)
