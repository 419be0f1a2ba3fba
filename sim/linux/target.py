"""The AoE target on the wire of a storage card: ``vblade`` as it is, or the benches' own model."""

import os
import socket
import subprocess
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from sim.models.aoe import SECTOR, AoeTarget
from sim.models.opening import Endpoint

from .packages import fetch

__all__ = [
    "MAC",
    "TUNNEL_ADDRESS",
    "TUNNEL_MAC",
    "TUNNEL_SLOT",
    "TUNNEL_VNI",
    "Blade",
    "Model",
    "start_target",
]

MAC = "02:bb:00:00:00:a0"
SHELF, SLOT = 7, 3
#: Frames that it takes at once.
BUFFERS = 16
#: What the test's own may have waiting. On a busy machine it is slow where the card's time goes
#: on, and frames come twice; one that is lost costs more of that time.
_WAITING_BYTES = 1 << 20
#: The other end of the card's tunnel, and the target behind it.
TUNNEL_ADDRESS, TUNNEL_VNI = "198.51.100.2", 0x5707A6
TUNNEL_MAC, TUNNEL_SLOT = "02:bb:00:00:00:a1", 4


class Blade:
    """``vblade`` in a network namespace, where the card's port is an interface.

    Parameters
    ----------
    disk
        The file that it serves.
    folder
        For packages.
    """

    what = "vblade in a network namespace"
    _prefix = "niter-storage"
    _interface = "niter0"
    _tunnel = "vxlan0"

    def __init__(self, disk: Path, folder: Path):
        self._disk = disk
        self._programs = fetch(folder, "vblade", ["vblade"])
        # One for each tree: the next run in it finds what an earlier one has left.
        self._name = f"{self._prefix}-{zlib.crc32(str(disk.resolve()).encode()):08x}"
        self._processes: list[subprocess.Popen] = []
        self.prefix = ["ip", "netns", "exec", self._name]
        self.wire = f"tap:{self._interface}"
        self.stop()
        self._ip("netns", "add", self._name)

    @classmethod
    def possible(cls) -> bool:
        """Namespaces can be made here."""
        if os.geteuid() or not os.path.exists("/dev/net/tun"):
            return False
        probe = f"{cls._prefix}-probe-{os.getpid()}"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
        subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
        return not made.returncode

    def start(self) -> None:
        """Begin to serve, once the card has made its interface."""
        link = ("link", "set", self._interface)
        self._ip("-n", self._name, *link, "address", MAC, "mtu", "1500", "up")
        self._serve(SLOT, self._interface)

    def start_tunnel(self, card: Endpoint) -> None:
        """Serve the same once more, as slot ``TUNNEL_SLOT``, behind a ``vxlan`` netdev."""
        run = ("-n", self._name)
        self._ip(*run, "address", "add", f"{TUNNEL_ADDRESS}/24", "dev", self._interface)
        # Nobody is there to answer for a card whose processor is on this machine.
        neighbour = (card.ipv4, "lladdr", card.mac, "dev", self._interface)
        self._ip(*run, "neighbour", "add", *neighbour, "nud", "permanent")
        ends = ("local", TUNNEL_ADDRESS, "remote", card.ipv4, "dstport", "4789")
        vni = ("type", "vxlan", "id", str(TUNNEL_VNI))
        self._ip(*run, "link", "add", self._tunnel, *vni, *ends)
        self._ip(*run, "link", "set", self._tunnel, "address", TUNNEL_MAC, "up")
        self._serve(TUNNEL_SLOT, self._tunnel)

    def through_tunnel(self) -> int:
        """Frames that have come through it."""
        command = [*self.prefix, "cat", f"/sys/class/net/{self._tunnel}/statistics/rx_packets"]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)

    def _serve(self, slot: int, interface: str) -> None:
        program = self._programs.command("usr/sbin/vblade")
        place = ("-b", str(BUFFERS), str(SHELF), str(slot), interface, str(self._disk))
        process = subprocess.Popen(
            [*self.prefix, *program, *place], stdout=subprocess.PIPE, text=True
        )
        self._processes.append(process)
        if "sectors" not in (said := process.stdout.readline()):
            raise RuntimeError(f"vblade does not start: {said}")

    def read(self, first: int, sectors: int) -> bytes:
        """What the disk holds."""
        with self._disk.open("rb") as file:
            file.seek(first * SECTOR)
            return file.read(sectors * SECTOR)

    def stop(self) -> None:
        """End what was started, and remove the namespace."""
        for process in self._processes:
            process.terminate()
            process.communicate()
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Model:
    """The target of ``sim.models.aoe`` in a thread, at the other end of a UDP socket.

    Linux keeps ten datagrams for a Unix socket, whatever their size.

    Parameters
    ----------
    disk
        Its first content.
    """

    what = "a target of the test's own (scapy); with root it would be vblade"
    prefix: Sequence[str] = ()

    def __init__(self, disk: Path):
        content = bytearray(disk.read_bytes())
        self._target = AoeTarget(SHELF, SLOT, MAC, content, buffers=BUFFERS, sectors=2)
        self._socket, probe = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WAITING_BYTES)
        self._socket.settimeout(0.2)
        with probe:
            for each in (self._socket, probe):
                each.bind(("127.0.0.1", 0))
            self._card = probe.getsockname()
        ends = (self._card, self._socket.getsockname())
        self.wire = "udp:" + ",".join(f"{host}:{port}" for host, port in ends)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def read(self, first: int, sectors: int) -> bytes:
        """What the disk holds."""
        return bytes(self._target.disk[first * SECTOR : (first + sectors) * SECTOR])

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._target.answer(self._socket.recv(16384))
            except TimeoutError:
                continue
            if answer is not None:
                self._socket.sendto(answer.ljust(60, b"\0"), self._card)


def start_target(disk: Path, packages: Path) -> Blade | Model:
    """The best target that can be had here."""
    return Blade(disk, packages) if Blade.possible() else Model(disk)
