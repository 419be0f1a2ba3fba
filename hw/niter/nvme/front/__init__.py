"""The front of the NVMe controllers: registers and queues towards the host."""

from .front import Front
from .registers import declare

__all__ = ["Front", "declare"]
