"""Firmware images as far as an operator needs to know them: the header of MCUboot's format."""

import struct
from dataclasses import dataclass

__all__ = ["ImageError", "ImageHeader", "version_text"]

_MAGIC = 0x96F3B83D
_BYTES = 32


class ImageError(ValueError):
    """This is no firmware image."""


def version_text(number: int) -> str:
    """A version as people write it: ``major << 24 | minor << 16 | revision``."""
    return f"{number >> 24}.{number >> 16 & 0xFF}.{number & 0xFFFF}"


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself. Whether it is true, the card finds out.

    Parameters
    ----------
    version
        As in ``version_text``.
    content_bytes
        Length of the program.
    """

    version: int
    content_bytes: int

    @classmethod
    def decode(cls, image: bytes) -> "ImageHeader":
        """Read it from an image.

        Raises
        ------
        ImageError
            There is none.
        """
        if len(image) <= _BYTES:
            raise ImageError("This is too short for a firmware image")
        magic, _, header, _, length, _, major, minor, revision = struct.unpack_from(
            "<IIHHIIBBH", image
        )
        if magic != _MAGIC or header != _BYTES or length > len(image) - _BYTES:
            raise ImageError("This is no firmware image")
        return cls(major << 24 | minor << 16 | revision, length)
