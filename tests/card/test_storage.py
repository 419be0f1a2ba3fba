import pytest

from niter.card import Card, CardConfig, StorageConfig
from niter.net import OverlayConfig
from niter.nvme.config import NvmeConfig


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


def test_a_network_card_has_no_storage():
    assert not any(name.startswith(("storage.", "soc.")) for name in names(Card(CardConfig())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlay": None}, "A card has either an overlay or storage"),
        ({"storage": StorageConfig()}, "A card has either an overlay or storage"),
        (
            {"overlay": None, "storage": StorageConfig(), "services": ("storage",)},
            "The card's own storage is the service of that name",
        ),
        ({"overlay": OverlayConfig(functions=5)}, "overlay.functions must be 1 to 4, not 5"),
    ],
)
def test_cards_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        CardConfig(**options)
