"""Stock Linux on cards of RTL that boot by themselves and are configured by ``niterctl`` alone.

The card's one wire is an interface of a network namespace. Its kernel has the other end of the
tunnel, or ``vblade`` its target there, and ``niterctl`` runs there: it finds the card by ARP.
"""

import dataclasses
import json
import random
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from sim.linux.guest import Guest
from sim.linux.image import NETWORK, STORAGE
from sim.linux.machine import make_machine
from sim.linux.namespace import UNDERLAY_MAC, Namespace
from sim.linux.target import MAC as TARGET_MAC
from sim.linux.target import SHELF, SLOT, Blade
from sim.live.card import RunningCard
from sim.live.config import load
from sim.live.managed import deliver
from sim.live.model import build_card
from sim.models.aoe import SECTOR
from sim.soc.identity import MAC, VTEP

pytestmark = [
    pytest.mark.managed,
    pytest.mark.skipif(not Namespace.possible(), reason="needs root, for a network namespace"),
]

LIVE = Path(__file__).parents[2] / "sim/live"
PACKAGES = Path("build/linux").resolve()
PEER = "198.51.100.2"
VNI, GUEST, STATION = 100, ("02:00:00:00:00:01", "10.0.0.1"), ("02:00:00:00:01:01", "10.0.0.9")
SECTORS = 2048
#: Seconds for what takes half a second of a card's time: a retry is answered no sooner.
PATIENCE = 1800


@contextmanager
def running(name, folder, peer):
    """A card as it is delivered, at the end of the peer's wire."""
    live, flash = deliver(dataclasses.replace(load(LIVE / name), wires=(peer.wire,)), folder)
    program = build_card(live.card, Path("build/live/models"))
    with RunningCard(program, live, folder, prefix=peer.prefix, flash=flash) as card:
        yield card
        status = card.control.status()
        assert not status["violations"] and not status["timeouts"]


def niterctl(peer, folder, *arguments, timeout=PATIENCE, check=True):
    """Run it as the card's owner, where the wire ends."""
    identity = (folder / "identity").read_text().strip()
    options = ("--card", VTEP, "--identity", identity, "--key", folder / "owner.pem")
    options = (*options, "--timeout", timeout, "--json")
    command = [*peer.prefix, sys.executable, "-m", "niterctl", *options, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert not (check and done.returncode), done.stderr
    return done.returncode == 0


def listens(peer, folder):
    """Functions are released before the card listens: wait until it does."""
    for _ in range(200):
        if niterctl(peer, folder, "identity", timeout=1, check=False):
            return
        time.sleep(1)
    raise AssertionError("The card does not listen")


def found_by_arp(peer):
    """The kernel has the card's MAC address from the card."""
    show = ("ip", "-json", "neighbour", "show", VTEP)
    shown = subprocess.run([*peer.prefix, *show], check=True, capture_output=True, text=True)
    [entry] = json.loads(shown.stdout)
    return entry["lladdr"] == MAC and not {"PERMANENT", "NOARP"} & set(entry["state"])


@contextmanager
def tenant(folder, contents=NETWORK, image="guest"):
    """A guest whose interface is a port of the card, up, with a station behind a tunnel."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    machine, programs = make_machine(PACKAGES, "guest", contents, image=image)
    peer = Namespace(PEER, VTEP, programs, folder)
    try:
        with running("managed.toml", folder, peer) as card:
            peer.start({VNI: (STATION[0], (f"{STATION[1]}/24",))})
            port = ("--mac", GUEST[0], "--vni", VNI, "--ip", GUEST[1])
            listens(peer, folder)
            niterctl(peer, folder, "port", "add", 0, *port)
            assert found_by_arp(peer)
            station = ("--vni", VNI, "--mac", STATION[0], "--ip", STATION[1])
            behind = ("--via", PEER, "--next-hop", UNDERLAY_MAC)
            niterctl(peer, folder, "route", "add", *station, *behind)
            with Guest(machine, "guest", folder, function=card.sockets[0]) as guest:
                guest.wait(PATIENCE)
                assert GUEST[0] in guest.run("cat /sys/class/net/eth0/address").output
                guest.run(f"ip address add {GUEST[1]}/24 dev eth0")
                guest.run("ip link set eth0 mtu 1500 up", PATIENCE)
                yield guest
    finally:
        peer.stop()


def pings(guest, count):
    """So many come back."""
    command = f"ping -n -W 20 -c {count} {STATION[1]}"
    pinged = guest.run(command, PATIENCE, check=False)
    assert f" {count} received" in pinged.output, pinged.output
    print(pinged.output.strip().splitlines()[-1])


def test_linux_pings_through_a_card_that_niterctl_has_configured(tmp_path):
    with tenant(tmp_path) as guest:
        pings(guest, 10)


def test_the_firmware_answers_the_control_queue(tmp_path):
    """What the driver asks of the device is done; the address is the card's owner's to choose."""
    contents = dataclasses.replace(NETWORK, modules=(*NETWORK.modules, "8021q"))
    with tenant(tmp_path, contents, "vlans") as guest:
        # A character a bit, from bit 0: CTRL_VQ to CTRL_MAC_ADDR, of which Linux does not know
        # CTRL_RX_EXTRA.
        features = guest.run("cat /sys/bus/virtio/devices/virtio0/features").output.strip()
        assert features[17:24] == "1110111", features
        for line in (
            "ip link set eth0 promisc on",
            "ip link set eth0 promisc off",
            "ip link set eth0 allmulticast on",
            "ip link set eth0 allmulticast off",
            "ip maddress add 01:00:5e:00:01:02 dev eth0",
            "ip maddress del 01:00:5e:00:01:02 dev eth0",
            # More than a message holds.
            "for n in $(seq 10 30); do ip maddress add 01:00:5e:00:02:$n dev eth0; done",
            "ip link add link eth0 name eth0.5 type vlan id 5",
            "ip link set eth0.5 up",
            "ip link del eth0.5",
            f"ip link set eth0 address {GUEST[0]}",
        ):
            guest.run(line, PATIENCE)
        log = guest.run("dmesg").output
        assert not re.search(r"virtio.*[Ff]ailed|Failed to (add|kill|set|ack)", log), log
        pings(guest, 3)
        refused = guest.run("ip link set eth0 address 02:00:00:00:00:77", PATIENCE, check=False)
        assert refused.status
        assert "Failed to set mac address by vq command" in guest.run("dmesg").output
        assert GUEST[0] in guest.run("cat /sys/class/net/eth0/address").output
        pings(guest, 3)


def test_linux_uses_a_volume_that_niterctl_has_attached(tmp_path):
    """The firmware on the core carries out the driver's admin commands."""
    PACKAGES.mkdir(parents=True, exist_ok=True)
    machine, _ = make_machine(PACKAGES, "disk", STORAGE)
    disk = tmp_path / "disk"
    disk.write_bytes(random.Random(1).randbytes(SECTORS * SECTOR))
    target = Blade(disk, PACKAGES)
    try:
        with running("managed_storage.toml", tmp_path, target) as card:
            target.start()
            address = ("address", "add", f"{PEER}/24", "dev", "niter0")
            subprocess.run([*target.prefix, "ip", *address], check=True)
            place = ("--target", TARGET_MAC, "--shelf", SHELF, "--slot", SLOT)
            attach = ("volume", "attach", 0, "--function", 0, *place, "--sectors", SECTORS)
            listens(target, tmp_path)
            niterctl(target, tmp_path, *attach)
            assert found_by_arp(target)
            with Guest(machine, "guest", tmp_path, function=card.sockets[0]) as guest:
                guest.wait(PATIENCE)
                read = guest.run("dd if=/dev/nvme0n1 bs=64k iflag=direct | md5sum", PATIENCE)
                summed = subprocess.run(["md5sum", disk], check=True, capture_output=True)
                assert summed.stdout.split()[0].decode() in read.output
                guest.run("dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=4 oflag=direct", PATIENCE)
                assert target.read(0, 33)[: 32 * SECTOR] == bytes(32 * SECTOR)
                guest.run("nvme id-ctrl /dev/nvme0 | grep -q '^sn'", PATIENCE)
    finally:
        target.stop()
