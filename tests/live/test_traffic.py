"""Traffic through a running card: every kind of wire that can be had here, and the soak itself."""

import contextlib
import ctypes
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.live.card import RunningCard
from sim.live.client import CONFIG, Client, Memory
from sim.live.config import load
from sim.live.driver import NetDriver
from sim.live.soak import Soak
from sim.live.station import Station, udp_frame

from .conftest import EXAMPLE, comes_to_rest, free_port

pytestmark = pytest.mark.slow

_BASE = 0x1_0000_0000
_NAMESPACE = "niter-wire"
#: Core cycles: after which a card has dealt with what it was given, and for which it is watched.
_SETTLING, _REST = 20_000, 1_000_000


@contextlib.contextmanager
def running(program: Path, folder: Path, wire: str, prefix=()):
    config = dataclasses.replace(load(EXAMPLE), wires=(wire,))
    with RunningCard(program, config, folder, prefix=prefix) as card:
        yield card
        status = card.control.status()
        assert not status["violations"] and not status["timeouts"], card.log.read_text()


def carry(card: RunningCard, station: Station, send, receive) -> None:
    """Ten frames each way, which arrive as they were."""
    tenant = card.config.tenants[0]
    there = card.config.peers[0].stations[0]
    memory = Memory(NetDriver.size(card.config.card.pairs))
    with Client(card.sockets[0]) as client:
        assert client.map(_BASE, memory.size, memory.fd) == 0
        driver = NetDriver(client, memory, _BASE, card.config.card.pairs)
        driver.start(2, 64, 512)
        for number in range(10):
            data = os.urandom(20 + 140 * number)
            here = tenant.addresses[0]
            out = udp_frame(there, tenant.address, "10.0.0.99", here, 1000 + number, data)
            assert not driver.send(number % 2, [out], cut=12)
            assert station.unwrap(receive()) == (tenant.vni, out)
            back = udp_frame(tenant.address, there, here, "10.0.0.99", 1000 + number, data)
            send(station.wrap(back, tenant.vni, 5000 + number))
            came = []
            NetDriver.wait(lambda: came.extend(driver.received()) or came, "a frame")  # noqa: B023
            assert came == [back]
        NetDriver.wait(driver.sent, "the end of what was sent")
    memory.close()


def test_udp_wire(program, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.settimeout(60)
        port = free_port()
        wire = f"udp:127.0.0.1:{port},127.0.0.1:{own.getsockname()[1]}"
        with running(program, tmp_path, wire) as card:
            station = Station(card.config, tmp_path)
            carry(
                card, station, lambda f: own.sendto(f, ("127.0.0.1", port)), lambda: own.recv(4096)
            )
            station.close()


def test_rest(program, tmp_path):
    # Drivers have given buffers and wait: nothing in the card asks in circles for work.
    with running(program, tmp_path, f"unix:{tmp_path}/wire") as card:
        memory = Memory(NetDriver.size(card.config.card.pairs))
        with Client(card.sockets[0]) as client:
            assert client.map(_BASE, memory.size, memory.fd) == 0
            driver = NetDriver(client, memory, _BASE, card.config.card.pairs)
            driver.start(2, 64, 512)
            card.control.command(f"fault run {_SETTLING + _REST}")
            before = after = card.control.status()
            while after["cycles"] < before["cycles"] + _SETTLING:
                after = card.control.status()
            before = after
            while after["cycles"] < before["cycles"] + _REST // 2:
                after = card.control.status()
        memory.close()
    assert after["moved"] == before["moved"]


@pytest.fixture
def pair():
    """Both ends of a cable, in a namespace of the test's own."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("a packet socket needs root")
    subprocess.run(["ip", "netns", "delete", _NAMESPACE], capture_output=True)
    if subprocess.run(["ip", "netns", "add", _NAMESPACE], capture_output=True).returncode:
        pytest.skip("there are no network namespaces here")
    inside = ["ip", "-n", _NAMESPACE]
    ends = ("card0", "type", "veth", "peer", "name", "far0")
    subprocess.run([*inside, "link", "add", *ends], check=True)
    for name in ("card0", "far0"):
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        command = ["ip", "netns", "exec", _NAMESPACE, "sh", "-c", f"echo 1 > {path}"]
        subprocess.run(command, check=True)
        subprocess.run([*inside, "link", "set", name, "up"], check=True)
    yield
    subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)


def socket_inside(name: str) -> socket.socket:
    """A packet socket in the namespace."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    other = os.open(f"/run/netns/{_NAMESPACE}", os.O_RDONLY)
    try:
        _setns(other)
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        made.bind((name, 0))
    finally:
        _setns(own)
        os.close(own)
        os.close(other)
    return made


def _setns(fd: int) -> None:
    """Enter a network namespace; before Python 3.12 this is the only way."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")


def test_packet_wire(program, tmp_path, pair):
    prefix = ["ip", "netns", "exec", _NAMESPACE]
    with (
        socket_inside("far0") as far,
        running(program, tmp_path, "packet:card0", prefix) as card,
    ):
        station = Station(card.config, tmp_path)
        own = bytes.fromhex(card.config.endpoint.mac.replace(":", ""))

        def receive() -> bytes:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                far.settimeout(60)
                frame = far.recv(4096)
                # What this end sends is seen here as well.
                if frame[6:12] == own:
                    return frame
            raise TimeoutError

        carry(card, station, far.send, receive)
        station.close()


def test_tap_that_is_removed(program, tmp_path, pair):
    prefix = ["ip", "netns", "exec", _NAMESPACE]
    with running(program, tmp_path, "tap:tap0", prefix) as card:
        subprocess.run(["ip", "-n", _NAMESPACE, "link", "set", "tap0", "up"], check=True)
        subprocess.run(["ip", "-n", _NAMESPACE, "link", "delete", "tap0"], check=True)
        comes_to_rest(card)
        assert "the wire has gone" in card.log.read_text()
        with Client(card.sockets[0]) as client:
            assert client.read(CONFIG, 0, 2) == 0x1AF4


def test_soak(program, tmp_path):
    config = load(EXAMPLE)
    station = Station(config, tmp_path)
    with running(program, tmp_path, station.wire) as card:
        soak = Soak(card, station, seed=1)
        for _ in range(3):
            soak.round()
        assert soak.totals["frames sent"] and soak.totals["frames received"]
        assert 0 < soak.totals["faulty rounds"] < soak.rounds
        soak.close()
    station.close()


def test_interrupted_soak(program, tmp_path):
    """As from a terminal: the whole group is interrupted, and totals are all that is printed."""
    command = [sys.executable, "-m", "sim.live", "soak", str(EXAMPLE), "--seed", "1"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
        # Where these tests run in a shell's background, it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as soak:
        lines = iter(soak.stdout.readline, "")
        assert any(line.startswith("round 1:") for line in lines)
        os.killpg(soak.pid, signal.SIGINT)
        interrupted, rounds, totals = list(lines)
    assert soak.returncode == 0
    assert interrupted.startswith("interrupted in round ")
    assert " rounds, " in rounds
    assert " frames received" in totals
    assert not [*tmp_path.glob("*.sock")]
