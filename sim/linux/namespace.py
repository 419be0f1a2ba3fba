"""The wire's peer when there is root: Linux' own vxlan in a network namespace of the test's."""

import os
import signal
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

from .packages import Root

__all__ = ["UNDERLAY_MAC", "Namespace"]

_PREFIX = "niter-linux"
#: Of the peer's interface on the underlay.
UNDERLAY_MAC = "02:bb:00:00:00:02"
#: The card's port appears in the namespace as this interface.
_INTERFACE = "niter0"
_UNDERLAY_MTU = 9500


class Namespace:
    """A namespace with a tunnel interface for each network.

    Parameters
    ----------
    address
        Of the peer's tunnel endpoint.
    card
        Of the card's.
    programs
        Unpacked packages that iperf3 is taken from.
    folder
        For what its programs say.
    """

    what = "Linux' vxlan in a network namespace"
    full = True

    def __init__(self, address: str, card: str, programs: Root, folder: Path):
        self._folder = folder
        self._address, self._card, self._programs = address, card, programs
        self._started: list[subprocess.Popen] = []
        # One for each tree: the next run in it finds what an earlier one has left.
        self._name = f"{_PREFIX}-{zlib.crc32(str(folder.resolve()).encode()):08x}"
        self.prefix = ["ip", "netns", "exec", self._name]
        self.wire = f"tap:{_INTERFACE}"
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True)
        self._ip("netns", "add", self._name)

    @staticmethod
    def possible() -> bool:
        """Namespaces can be made here."""
        if os.geteuid():
            return False
        probe = f"{_PREFIX}-probe-{os.getpid()}"
        made = subprocess.run(["ip", "netns", "add", probe], capture_output=True)
        subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
        return not made.returncode and os.path.exists("/dev/net/tun")

    def start(self, networks: dict[int, tuple[str, Sequence[str]]]) -> None:
        """Bring the interfaces up, once the card has made its own.

        Parameters
        ----------
        networks
            For each VNI the MAC address of the station there, and its addresses with lengths.
        """
        self.run("ip", "link", "set", "lo", "up")
        link = ("address", UNDERLAY_MAC, "mtu", str(_UNDERLAY_MTU), "up")
        self.run("ip", "link", "set", _INTERFACE, *link)
        self.run("ip", "address", "add", f"{self._address}/24", "dev", _INTERFACE)
        for vni, (mac, addresses) in networks.items():
            name = f"vxlan{vni}"
            ends = ("local", self._address, "remote", self._card, "dstport", "4789")
            self.run("ip", "link", "add", name, "type", "vxlan", "id", str(vni), *ends)
            self.run("ip", "link", "set", name, "address", mac, "mtu", "9000", "up")
            for address in addresses:
                extra = ("nodad",) if ":" in address else ()
                self.run("ip", "address", "add", address, "dev", name, *extra)

    def run(self, *command: str) -> str:
        """Run a command in the namespace."""
        return subprocess.run(
            [*self.prefix, *command], check=True, capture_output=True, text=True
        ).stdout

    def serve_iperf(self, address: str) -> None:
        """Start an iperf3 server at an address; what it says is in ``iperf3-<address>.log``."""
        # It counts the time without data from its own start, and would end the first connection
        # that comes later than that, if that has nothing to read for a second.
        patience = ("--rcv-timeout", "86400000")
        program = self._programs.command("usr/bin/iperf3")
        command = [*self.prefix, *program, "-s", "-B", address, *patience]
        with (self._folder / f"iperf3-{address}.log").open("w") as log:
            self._started.append(subprocess.Popen(command, stdout=log, stderr=log))

    def stop(self) -> None:
        """End what was started, and remove the namespace."""
        for process in self._started:
            process.send_signal(signal.SIGTERM)
            process.wait()
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True)

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)
