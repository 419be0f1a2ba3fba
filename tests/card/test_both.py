"""A card with both halves: what it declares to the host, and where its registers stand."""

from niter.card import Card, CardConfig, StorageConfig
from niter.net import OverlayConfig
from niter.nvme.config import NvmeConfig
from niter.soc import SocConfig


def test_storage_comes_behind_the_network():
    card = Card(
        CardConfig(
            overlay=OverlayConfig(functions=3, ports=2),
            storage=StorageConfig(nvme=NvmeConfig(functions=2), encryption=True),
            frame_bytes=9600,
            soc=SocConfig(rom=(1,)),
            board_registers=3,
        )
    )
    assert (card.config.functions, card.config.network_functions, card.config.ports) == (5, 3, 2)
    declared = card._pcie._functions
    # Network controllers, then NVM Express.
    assert [each.class_code >> 8 for each in declared] == [0x0200] * 3 + [0x0108] * 2
    assert card._pcie._engines == (0, 0, 0, 1, 1)
    rooms = {info.path[0] for info in card.csr.memory_map.all_resources()}
    assert rooms == {
        "net",
        "overlay",
        "storage",
        "soc",
        "steering",
        "mac_0",
        "mac_1",
        "pcie",
        "card",
    }
    card.elaborate(None)
