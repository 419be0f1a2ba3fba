"""Volumes that are attached by the management protocol, as the gateware's tables have them.

The oracle is ``sim.models.storage``, which benches put whole cards to work with: the words that it
writes and those that stand in the tables must be the same.
"""

import asyncio
import dataclasses
import time
from ipaddress import IPv4Address

import pytest

from firmware.host.process import HostCard
from firmware.sources import services
from niter.card import Card as CardGateware
from niter.card import CardConfig, StorageConfig
from niter.nvme.config import NvmeConfig
from niter.nvme.engine import NamespaceRecord
from niter.storage import RateRecord, VolumeRecord
from niter.storage.aoe import TargetRecord
from niter.virtio.blk import BlkSizes
from niterctl.card import Card, Target, Volume
from niterctl.client import RequestError
from niterctl.protocol import Role, Status
from sim.models.control import Registers
from sim.models.storage import Place, StorageTunnel, open_storage

from .conftest import POLICY, open_session

NVME = NvmeConfig(functions=2, queues=2, entries=256, namespaces=2)
CONFIG = CardConfig(overlay=None, storage=StorageConfig(nvme=NVME, volumes=4, tunnel=True))
TARGET = Target("02:bb:00:00:00:a0", 7, 3)
VOLUME = Volume(1, 1, 2, TARGET, first=1 << 33, length=65536)
TABLES = {
    "storage.volumes.table.words": VolumeRecord.STRIDE,
    "storage.aoe.targets.words": TargetRecord.STRIDE,
    "storage.aoe.volumes.words": 1,
}


class Written(Registers):
    """A control bus that keeps what was written to each word."""

    def __init__(self, config=CONFIG):
        super().__init__(CardGateware(config).csr.memory_map)
        self.words: dict[int, int] = {}

    async def write_word(self, address, value):
        self.words[address] = value

    async def read_word(self, address):
        return self.words.get(address, 0)


@pytest.fixture
def disks(tmp_path):
    with HostCard(tmp_path, POLICY, config=CONFIG) as running:
        yield running


@pytest.fixture
def operator(disks):
    with open_session(disks, Role.OPERATOR) as session:
        yield Card(session)


def refused(work, *arguments) -> Status:
    with pytest.raises(RequestError) as caught:
        work(*arguments)
    return caught.value.status


def namespace(card, volume):
    controller = volume.function - card.config.network_functions
    at = NamespaceRecord.STRIDE * (NVME.namespaces * controller + volume.nsid - 1)
    return card.words("storage.nvme.engine.namespaces", at, NamespaceRecord.WORDS)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_volume_stands_in_all_tables(disks, operator, read_only):
    volume = dataclasses.replace(VOLUME, read_only=read_only)
    operator.attach_volume(volume)
    assert operator.volumes() == [volume]
    model = Written()
    place = Place.at(1, TARGET, first=volume.first, length=volume.length, read_only=read_only)
    asyncio.run(open_storage(model, CONFIG, mac=POLICY.mac.hex(":"), places=[place]))
    for path, stride in TABLES.items():
        wanted = [model.words.get(model.address(path) + stride + n, 0) for n in range(stride)]
        assert disks.words(path, stride, stride) == wanted, path
    source = [model.words[model.address("storage.aoe.sources.words") + n] for n in range(4)]
    assert disks.words("storage.aoe.sources.words", 0, 4) == source
    for path in ("mac_0.registers.control", "card.release"):
        assert disks.words(path) == [model.words[model.address(path)]], path
    flags = NamespaceRecord.ACTIVE | 1 << NamespaceRecord.VOLUME_SHIFT
    flags |= NamespaceRecord.READ_ONLY if read_only else 0
    assert namespace(disks, volume) == [flags, 65536, 0]


def test_the_tunnel_is_the_models(disks, operator):
    own = StorageTunnel(
        POLICY.mac.hex(":"), str(POLICY.ipv4), "02:bb:00:00:00:02", "198.51.100.2", 0xABCDE
    )
    operator.set_storage_tunnel(own.vni, IPv4Address(own.remote), own.next_hop)
    words = own.words()
    assert disks.words("storage.tunnel.words", 0, len(words)) == words
    behind = dataclasses.replace(VOLUME, target=dataclasses.replace(TARGET, port=1))
    operator.attach_volume(behind)
    assert operator.volumes() == [behind]


def test_rates_are_in_cycles_of_the_core(disks, operator):
    operator.attach_volume(dataclasses.replace(VOLUME, iops=10_000, rate=50_000_000))
    hz = CONFIG.storage.clock_hz
    at = RateRecord.STRIDE
    found = disks.words("storage.pacing.words", at, 3)
    assert found == [hz // 10_000, 512 * hz // 50_000_000, hz // 100]


def test_large_blocks(disks, operator):
    operator.attach_volume(dataclasses.replace(VOLUME, block_bytes=4096))
    flags, *blocks = namespace(disks, VOLUME)
    assert flags & NamespaceRecord.LARGE and blocks == [8192, 0]


def test_what_is_detached_is_closed_and_rests(disks, operator):
    operator.attach_volume(VOLUME)
    operator.detach_volume(1)
    assert operator.volumes() == []
    assert namespace(disks, VOLUME)[0] == 0
    flags = disks.words("storage.volumes.table.words", VolumeRecord.STRIDE + VolumeRecord.FLAGS)
    assert flags == disks.words("storage.aoe.volumes.words", 1) == [0]
    at = TargetRecord.STRIDE + TargetRecord.FLAGS
    assert disks.words("storage.aoe.targets.words", at) == [0]
    assert refused(operator.detach_volume, 1) == Status.MISSING
    # Neither by its number nor at its place, as long as a copy of a write may arrive.
    elsewhere = dataclasses.replace(VOLUME, first=0)
    other = dataclasses.replace(VOLUME, number=2, first=VOLUME.first + VOLUME.length - 8)
    assert refused(operator.attach_volume, elsewhere) == Status.STATE
    assert refused(operator.attach_volume, other) == Status.STATE
    operator.attach_volume(dataclasses.replace(elsewhere, number=2))
    operator.detach_volume(2)
    time.sleep(2.1)
    operator.attach_volume(VOLUME)
    assert operator.volumes() == [VOLUME]


@pytest.mark.parametrize(
    "change",
    [
        {"number": 4},
        {"function": 2},
        {"nsid": 0},
        {"nsid": 3},
        {"length": 0},
        {"length": 65532, "block_bytes": 4096},
        {"first": (1 << 48) - 65535},
        {"rate": 1000},
        {"target": dataclasses.replace(TARGET, mac="03:bb:00:00:00:a0")},
        {"target": dataclasses.replace(TARGET, port=2)},
        {"target": dataclasses.replace(TARGET, sectors=0)},
        {"target": dataclasses.replace(TARGET, sectors=4)},
        {"target": dataclasses.replace(TARGET, buffers=65)},
    ],
)
def test_what_the_card_cannot_have(operator, change):
    assert refused(operator.attach_volume, dataclasses.replace(VOLUME, **change)) == Status.RANGE
    assert operator.volumes() == []


def test_a_card_without_a_cipher_takes_no_keys(operator):
    assert refused(operator.attach_volume, VOLUME, bytes(range(64))) == Status.UNSUPPORTED
    assert operator.volumes() == []


def test_a_number_and_a_name_are_one_volumes(operator):
    operator.attach_volume(VOLUME)
    assert refused(operator.attach_volume, VOLUME) == Status.STATE
    assert refused(operator.attach_volume, dataclasses.replace(VOLUME, number=2)) == Status.STATE
    operator.attach_volume(dataclasses.replace(VOLUME, number=0, function=0))
    assert [volume.number for volume in operator.volumes()] == [0, 1]


def test_an_observer_only_looks(disks):
    with open_session(disks, Role.OBSERVER) as session:
        card = Card(session)
        assert card.volumes() == []
        assert refused(card.attach_volume, VOLUME) == Status.FORBIDDEN


def test_some_cards_have_no_firmware():
    disks = StorageConfig(blk=BlkSizes())
    for config in CardConfig(overlay=None, storage=disks), CardConfig(storage=disks):
        with pytest.raises(ValueError, match="There is no firmware for a card of virtio disks"):
            services(config)


def test_the_other_kind_of_card_cannot(operator, card):
    assert refused(operator.ports) == Status.UNSUPPORTED
    with open_session(card, Role.OPERATOR) as session:
        assert refused(Card(session).volumes) == Status.UNSUPPORTED
