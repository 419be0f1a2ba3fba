"""The processor of a running storage card that is managed: its firmware's services beside it.

They run on this machine (``firmware.host``), with the card's control bus for a bus: volumes are
attached by the management protocol, over UDP on loopback, and admin commands are carried out by
the same process.
"""

import json
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.host.process import HostCard
from niterctl.client import probe
from niterctl.cose import public_bytes
from niterctl.policy import Policy
from niterctl.protocol import Role

from .config import LiveConfig
from .storage import Disk

__all__ = ["Manager"]

_HOST = "127.0.0.1"


class Manager:
    """The firmware's process, and an owner of the card with ``niterctl``.

    Parameters
    ----------
    folder
        For flash, the owner's key and what sanitizers say.
    control
        Path of the card's control socket.
    config
        Of the card; its disks are attached, the first one as volume 0.

    Raises
    ------
    RuntimeError
        ``niterctl`` or the firmware has refused something.
    """

    def __init__(self, folder: Path, control: Path, config: LiveConfig):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "flash").unlink(missing_ok=True)
        key = Ed25519PrivateKey.generate()
        self._key = folder / "owner.pem"
        self._key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        mac = bytes.fromhex(config.endpoint.mac.replace(":", ""))
        addresses = IPv4Address(config.endpoint.ipv4), IPv6Address(config.endpoint.ipv6)
        policy = Policy("niter-sim", mac, *addresses, {public_bytes(key): Role.OWNER})
        self._firmware = HostCard(folder, policy, config=config.card, card=control).start()
        try:
            self._identity = probe(_HOST, self._firmware.port).card.hex()
            for number, disk in enumerate(config.disks):
                self.attach(number, disk)
        except BaseException:
            self.stop()
            raise

    def attach(self, number: int, disk: Disk, *, wire: int = 0) -> None:
        """Give a host a volume, as a namespace; ``wire`` leads to its target."""
        place = ("--target", disk.mac, "--shelf", disk.shelf, "--slot", disk.slot)
        size = ("--first", disk.first, "--sectors", disk.length)
        limits = ("--frame", disk.sectors, "--buffers", disk.buffers, "--wire", wire)
        whose = ("--function", disk.function, "--nsid", disk.nsid)
        mode = ("--read-only",) if disk.read_only else ()
        self.niterctl("volume", "attach", number, *whose, *place, *size, *limits, *mode)

    def detach(self, number: int) -> None:
        """Take it away again."""
        self.niterctl("volume", "detach", number)

    def niterctl(self, *arguments: object) -> Any:
        """Run the command as the owner; returns what it has to say."""
        options = ("--card", _HOST, "--port", self._firmware.port, "--key", self._key)
        command = [sys.executable, "-m", "niterctl", *options, "--identity", self._identity]
        command += ["--json", *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"niterctl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def stop(self) -> None:
        """End the process; sanitizers must have found nothing."""
        self._firmware.stop()
