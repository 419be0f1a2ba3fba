from pathlib import Path

import pytest

from sim.live.config import ConfigError, load
from sim.live.storage import virtio_disks

from .conftest import EXAMPLE

STORAGE = "[storage]\nfunctions = 1\nnamespaces = 2\nvolumes = 1\n"
VIRTIO = "[storage]\nvolumes = 2\n[storage.blk]\nfunctions = 2\n"
DISK = "[[disk]]\nmac = '02:bb:00:00:00:a0'\nshelf = 7\nslot = 3\nlength = 8\n"


def test_example_is_whole():
    config = load(EXAMPLE)
    assert config.card.functions == config.functions == len(config.tenants) == 2
    assert config.tenants[0].vni == 100


def test_example_with_storage_is_whole():
    config = load(EXAMPLE.with_name("storage.toml"))
    storage = config.card.storage
    assert config.functions == config.card.functions == storage.nvme.functions == 2
    assert (storage.volumes, storage.nvme.entries) == (4, 256)
    first, second = config.disks
    assert (first.shelf, first.slot, first.length) == (7, 3, 65536)
    assert (first.function, second.function) == (0, 1)
    assert second.first == first.first + first.length


def test_example_with_a_processor_is_whole(tmp_path):
    example = EXAMPLE.with_name("managed.toml")
    config = load(example)
    assert config.functions == config.card.functions == 1
    assert config.card.soc.noise_seed == 1 and config.wires == ("tap:niter0",)
    other = tmp_path / "other.toml"
    peer = '[[peer]]\nvtep = "198.51.100.2"\nnext_hop = "02:bb:00:00:00:02"\n'
    other.write_text(example.read_text() + peer)
    with pytest.raises(ConfigError, match="configured by its clients alone"):
        load(other)


def test_example_of_a_storage_card_with_a_processor_is_whole(tmp_path):
    example = EXAMPLE.with_name("managed_storage.toml")
    config = load(example)
    assert config.functions == config.card.storage.nvme.functions == 1
    assert config.card.soc.ram_bytes == 76 * 1024 and config.wires == ("tap:niter0",)
    other = tmp_path / "other.toml"
    other.write_text(example.read_text() + DISK)
    with pytest.raises(ConfigError, match="configured by its clients alone"):
        load(other)
    other.write_text(VIRTIO + "[processor]")
    with pytest.raises(ConfigError, match="no firmware for a card of virtio disks"):
        load(other)


def test_example_with_virtio_disks_is_whole():
    config = load(EXAMPLE.with_name("disks.toml"))
    storage = config.card.storage
    assert storage.nvme is None
    assert config.functions == config.card.functions == storage.blk.functions == 2
    assert (storage.volumes, storage.blk.queue_size) == (2, 128)
    (_, first), (function, second) = virtio_disks(config.disks)
    assert (first.volume, second.volume, function) == (0, 1, 1)
    assert first.identity != second.identity and len(first.identity) == 20


def test_example_of_a_card_with_both_halves_is_whole():
    config = load(EXAMPLE.with_name("managed_both.toml"))
    assert (config.card.network_functions, config.functions, config.card.ports) == (1, 2, 2)
    assert config.card.storage.encryption and config.card.overlay.peers == 16
    assert config.card.soc.ram_bytes == 80 * 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[card", "Expected"),
        ("[cards]", "no such table: cards"),
        ("[card]\ncolour = 1", "colour"),
        ("[card]\nfunctions = 9", "functions"),
        ("[card]\npairs = 9", "pairs must be 1 to 4"),
        ("[card]\nfunctions = 1", "has 1 functions"),
        ("[[function]]\naddress = 'x'", "vni"),
        (
            "[[function]]\naddress='02:00:00:00:00:01'\nvni=1\naddresses=[]\n" + "[[port]]\n" * 3,
            "has 1 ports",
        ),
        (STORAGE + "colour = 1", "colour"),
        (STORAGE + "[card]\nipv6 = true", "both halves is opened by a processor"),
        (STORAGE + "encryption = true", "encryption needs a soc"),
        (STORAGE + DISK + "nsid = 3", "no namespace 3"),
        (STORAGE + DISK + "function = 1", "function 1"),
        (STORAGE + DISK + DISK, "has 1 volumes"),
        (STORAGE.replace("volumes = 1", "volumes = 2") + DISK + DISK, "same namespace"),
        (STORAGE + "[[function]]\naddress='x'\nvni=1\naddresses=[]", "neither functions"),
        (DISK, "needs a card with storage"),
        (VIRTIO + DISK + "function = 2", "no function 2"),
        (VIRTIO + DISK + DISK, "two disks are of the same function"),
        (VIRTIO + "colour = 1", "colour"),
        (VIRTIO.replace("[storage.blk]", "entries = 2\n[storage.blk]"), "entries"),
    ],
)
def test_file_that_cannot_be_is_refused(tmp_path: Path, text, message):
    path = tmp_path / "card.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
