"""What a card's processor starts with: its boot ROM, and what stands in flash behind the bitstream.

A card is placed with ``BLANK_ROM`` in its boot ROM. The firmware's takes its place when the
bitstream is packed, so that a firmware that changes costs seconds, and the seed that routes stays
one.
"""

from collections.abc import Sequence
from pathlib import Path

from firmware.boot.layout import FLASH
from firmware.build import build
from niter.card import CardConfig

from .configurations import BLANK_ROM
from .synthesis import ToolError

__all__ = ["FIRMWARE_AT", "make_firmware", "patch_rom"]

#: Of nine bits in a block memory's word.
_PARTS = 4
#: Where in flash ``firmware.bin`` goes.
FIRMWARE_AT = FLASH.loader


def make_firmware(config: CardConfig, folder: Path) -> tuple[int, ...]:
    """Build a card's firmware; returns the words of its boot ROM.

    Leaves ``firmware.bin`` in ``folder``: loader, certifier and golden image, as they stand in
    flash from ``FIRMWARE_AT`` on.

    Raises
    ------
    ToolError
        It cannot be built.
    """
    try:
        images = build(config, folder=folder / "firmware")
    except RuntimeError as error:
        raise ToolError(f"The firmware was not built: {error}") from None
    content = bytearray()
    for place, part in (
        (FLASH.loader, images.loader),
        (FLASH.loader_copy, images.loader),
        (FLASH.certifier, images.certifier),
        (FLASH.certifier_copy, images.certifier),
        (FLASH.golden, images.image),
    ):
        content += b"\xff" * (place - FIRMWARE_AT - len(content)) + part
    (folder / "firmware.bin").write_bytes(content)
    return images.rom_words


def patch_rom(folder: Path, name: str, words: Sequence[int]) -> str:
    """Put the boot ROM's words where ``BLANK_ROM`` stands in ``<name>.config``.

    Returns the name of the configuration that has them.

    Raises
    ------
    ToolError
        ``BLANK_ROM`` is not in exactly one block memory.
    """
    blank, wanted = _lines(BLANK_ROM), _lines(words)
    text = (folder / f"{name}.config").read_text()
    if text.count(blank) != 1:
        raise ToolError(f"The boot ROM was not found in {folder / name}.config")
    (folder / f"{name}-rom.config").write_text(text.replace(blank, wanted))
    return f"{name}-rom"


def _lines(words: Sequence[int]) -> str:
    """A block memory of 36-bit words as a configuration has it: nine bits each, eight to a line."""
    parts = [f"{word >> 9 * at & 0x1FF:03x}" for word in words for at in range(_PARTS)]
    return "\n".join(" ".join(parts[at : at + 8]) for at in range(0, len(parts), 8))
