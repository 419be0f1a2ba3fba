"""The command engine of NVMe: from submission entries to the block contract and back."""

from .engine import Engine
from .namespaces import NamespaceRecord
from .status import DNR, StatusCode

__all__ = ["DNR", "Engine", "NamespaceRecord", "StatusCode"]
