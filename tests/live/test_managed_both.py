"""A card of RTL with both halves, whose own processor serves them: the unmodified client gives it a
port, a route and an encrypted volume, a guest's frames pass, and an NVMe host reads its sectors."""

import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from niterctl.card import Target, Tunnel, Volume
from sim.live.client import Client
from sim.live.config import load
from sim.live.managed import PEER, TENANT
from sim.models.aoe import SECTOR, AoeTarget
from sim.soc.identity import POLICY

from .conftest import check_boot, owner, served
from .nvme import NvmeHost
from .test_managed import FAR, OWN, STATION, Traffic

pytestmark = pytest.mark.managed

CARD = load(Path(__file__).parents[2] / "sim/live/managed_both.toml").card
#: The controller's function.
DISK = CARD.network_functions
KEY = bytes(range(64))
#: Behind the second port, where clients are, too.
TARGET = Target("02:bb:00:00:00:a0", 7, 3, port=1)
VOLUME = Volume(1, DISK, 1, TARGET, first=100, length=1000)


def encrypted(sector, data):
    """As an independent library has it, by the number of the target's sector."""
    mode = modes.XTS(sector.to_bytes(16, "little"))
    return Cipher(algorithms.AES(KEY), mode).encryptor().update(data)


def plain(sector):
    return bytes([sector & 0xFF, sector >> 8]) * (SECTOR // 2)


class Far:
    """The target on the last wire."""

    def __init__(self):
        sectors = range(VOLUME.first + VOLUME.length)
        disk = bytearray(b"".join(encrypted(n, plain(n)) for n in sectors))
        self.target = AoeTarget(TARGET.shelf, TARGET.slot, TARGET.mac, disk)
        self.gateway = None

    def take(self, frame):
        if answer := self.target.answer(frame):
            self.gateway.send(answer)


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    far = Far()
    with served(tmp_path_factory.mktemp("card"), CARD, strangers=far.take) as running:
        far.gateway = running.gateway
        yield running


@pytest.fixture(scope="module")
def card(managed):
    with owner(managed, CARD) as client:
        yield client


def test_it_boots_what_its_flash_holds(managed):
    check_boot(managed, CARD)


def test_frames_and_blocks_pass_once_the_client_has_said_so(managed, card):
    status = card.status()
    assert (status["name"], status["functions"], status["ports"]) == (POLICY.name, 2, 2)
    traffic = Traffic(managed)
    card.add_port(0, TENANT.address, TENANT.vni, (IPv4Address(OWN),))
    tunnel = Tunnel(IPv4Address(PEER.vtep), PEER.next_hop)
    card.add_route(TENANT.vni, STATION, tunnel, (IPv4Address(FAR),))
    traffic.burst(20)
    card.attach_volume(VOLUME, KEY)
    assert card.volumes() == [replace(VOLUME, encrypted=True)]
    with Client(managed.card.sockets[DISK]) as client:
        host = NvmeHost(client)
        for lba in (0, 1, VOLUME.length - 1):
            host.read(lba)
            traffic.burst(10)
            end = time.monotonic() + 60
            while not host.completed():
                assert time.monotonic() < end, "the read does not end"
                time.sleep(0.005)
            assert host.data() == plain(VOLUME.first + lba)
        host.close()
    card.detach_volume(VOLUME.number)
    card.remove_port(0)
    assert not card.volumes() and not card.ports()
    traffic.close()
    slices = card.status()["longest_slice_cycles"]
    print(f"the longest slice took {slices} cycles")
    assert slices < CARD.soc.clock_hz // 1000
