"""When a storage card's clocks stand, and when they go on though nothing comes from outside."""

import contextlib
import dataclasses
import os
import select
import socket
import time
from pathlib import Path

import pytest

from sim.live.card import RunningCard
from sim.live.client import Client
from sim.live.config import load
from sim.live.model import build_card
from sim.models.aoe import SECTOR, AoeTarget

from .conftest import EXAMPLE
from .nvme import NvmeHost

pytestmark = pytest.mark.slow

#: Core cycles a second at most, of a card of which its processor asks for work 500 times a second.
_AT_REST = 20_000


@pytest.fixture(scope="module")
def config():
    return load(EXAMPLE.with_name("storage.toml"))


@pytest.fixture
def wire(tmp_path):
    """The other end of the card's wire."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as station:
        station.bind(str(tmp_path / "target"))
        station.settimeout(60)
        yield station


@pytest.fixture
def card(config, wire, tmp_path):
    program = build_card(config.card, Path("build/live/models"))
    wires = (f"unix:{tmp_path}/wire,{tmp_path}/target",)
    with RunningCard(program, dataclasses.replace(config, wires=wires), tmp_path) as running:
        yield running
        status = running.control.status()
        assert not status["violations"] and not status["timeouts"], running.log.read_text()


@pytest.fixture
def host(card):
    with Client(card.sockets[0]) as client, contextlib.closing(NvmeHost(client)) as host:
        yield host


def target(config) -> AoeTarget:
    disk = config.disks[0]
    content = os.urandom(64 * SECTOR)
    return AoeTarget(disk.shelf, disk.slot, disk.mac, bytearray(content))


def rests(card) -> None:
    """The clocks stand, but for the looks of the card's processor."""
    time.sleep(1)
    before, seconds = card.control.status()["cycles"], 2
    time.sleep(seconds)
    assert card.control.status()["cycles"] - before < _AT_REST * seconds


def test_a_frame_that_is_lost_is_sent_again(card, host, wire, config, tmp_path):
    rests(card)
    place = target(config)
    host.read(7)
    # Nothing is answered, and nobody does anything: only the card's own time brings the others.
    frames = [wire.recv(4096) for _ in range(3)]
    assert len({frame[:20] for frame in frames}) == 1 and len({f[20:24] for f in frames}) == 3
    assert not host.completed()
    wire.sendto(place.answer(frames[-1]).ljust(60, b"\0"), str(tmp_path / "wire"))
    host._until(host.completed)
    assert host.data() == place.disk[7 * SECTOR : 8 * SECTOR]
    rests(card)


def test_an_interrupt_that_waits_for_others_comes(card, host, wire, config, tmp_path):
    host.coalesce(entries=4, time_100us=50)
    host.read(1)
    wire.sendto(target(config).answer(wire.recv(4096)).ljust(60, b"\0"), str(tmp_path / "wire"))
    # Three more would bring it at once, and none comes.
    assert select.select([host.interrupt], [], [], 60)[0]
    assert host.completed()
    rests(card)
