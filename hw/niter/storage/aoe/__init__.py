"""ATA over Ethernet: a block transport over plain frames."""

from .codec import TargetRecord
from .transport import Aoe

__all__ = ["Aoe", "TargetRecord"]
