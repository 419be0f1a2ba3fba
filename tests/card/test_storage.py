import pytest

from niter.card import Card, CardConfig, StorageConfig
from niter.card.storage import Storage
from niter.net import OverlayConfig
from niter.nvme.config import NvmeConfig
from niter.soc import SocConfig
from niter.virtio.blk import BlkSizes


def names(card):
    return {".".join(info.path) for info in card.csr.memory_map.all_resources()}


def test_a_storage_card_has_what_its_processor_needs():
    config = CardConfig(
        overlay=None, storage=StorageConfig(nvme=NvmeConfig(functions=3)), frame_bytes=4200
    )
    assert (config.functions, config.ports) == (3, 1)
    card = Card(config)
    assert {
        "soc.mailbox.requests.pending",
        "storage.nvme.engine.namespaces",
        "storage.volumes.table.words",
        "storage.pacing.words",
        "storage.aoe.targets.words",
        "steering.dropped",
        "mac_0.registers.control",
        "card.release",
    } <= names(card)
    assert not any(name.startswith(("net.", "overlay.")) for name in names(card))


def test_a_storage_card_with_a_processor_encrypts():
    """Each of the two joins what it has to; ``test_encryption`` has the stage at work."""
    config = StorageConfig(nvme=NvmeConfig(functions=1), encryption=True)
    Card(
        CardConfig(overlay=None, storage=config, soc=SocConfig(rom=(1,)), frame_bytes=4200)
    ).elaborate(None)
    storage = Storage(config, ports=1, tick=6250)
    storage.elaborate(None)
    assert {"keys", "usable"} <= set(storage.signature.members)


def test_a_card_of_virtio_disks_has_no_mailbox():
    storage = StorageConfig(blk=BlkSizes(functions=3))
    card = Card(CardConfig(overlay=None, storage=storage, frame_bytes=4200))
    assert card.config.functions == 3
    assert {"storage.blk.select", "storage.blk.value", "storage.aoe.targets.words"} <= names(card)
    assert not any(name.startswith(("soc.", "storage.nvme")) for name in names(card))


def test_functions_of_a_storage_card_are_of_one_kind():
    with pytest.raises(ValueError, match="Functions of a storage card are of one kind"):
        StorageConfig(nvme=NvmeConfig(), blk=BlkSizes())


def test_a_network_card_has_no_storage():
    assert not any(name.startswith(("storage.", "soc.")) for name in names(Card(CardConfig())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlay": None}, "A card has an overlay, or storage, or both"),
        (
            {"storage": StorageConfig(nvme=NvmeConfig(functions=7))},
            "functions of both halves must be 1 to 8, not 9",
        ),
        (
            {"overlay": None, "storage": StorageConfig(), "services": ("storage",)},
            "The card's own storage is the service of that name",
        ),
        (
            {"overlay": None, "storage": StorageConfig(encryption=True)},
            "Keys are the processor's: encryption needs a soc",
        ),
        (
            {"storage": StorageConfig(tunnel=True)},
            "A tenant could be in the storage's tunnel, beside an overlay",
        ),
        ({"overlay": OverlayConfig(functions=5)}, "overlay.functions must be 1 to 4, not 5"),
    ],
)
def test_cards_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        CardConfig(**options)
