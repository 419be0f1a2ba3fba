"""ATA over Ethernet: a block transport over plain frames."""

from .codec import FRAME_SECTORS, HAS_TARGET, HEADER_BYTES, SLOT_BITS, TargetRecord
from .transport import Aoe

__all__ = ["FRAME_SECTORS", "HAS_TARGET", "HEADER_BYTES", "SLOT_BITS", "Aoe", "TargetRecord"]
