"""Records: what the card keeps in sectors of its flash (``firmware/crypto/record.h``)."""

import hashlib
import struct

__all__ = ["record"]


def record(magic: int, number: int, content: bytes) -> bytes:
    """A record as it stands in flash."""
    text = struct.pack(">III", magic, number, len(content)) + content
    return text + hashlib.sha384(text).digest()
