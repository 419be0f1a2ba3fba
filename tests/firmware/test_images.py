"""The images that go into a board's cards: built as they are for a bitstream, they fit."""

from pathlib import Path

import pytest

from boards.configurations import CONFIGURATIONS
from firmware.boot.layout import FLASH, Memory
from firmware.build import build

WITH_FIRMWARE = [name for name, each in CONFIGURATIONS.items() if each.config.soc]


@pytest.mark.parametrize("name", WITH_FIRMWARE)
def test_a_card_has_room_for_its_firmware(name):
    """The linker refuses what leaves no room for the stack."""
    config = CONFIGURATIONS[name].config
    memory = Memory(config.soc.ram_bytes)
    made = build(config, folder=Path("build/firmware/boards") / name)
    assert len(made.content) <= memory.longest_image
    assert len(made.loader) <= memory.LOADER
    assert len(made.certifier) <= memory.CERTIFIER
    assert len(made.image) <= FLASH.slot_bytes
