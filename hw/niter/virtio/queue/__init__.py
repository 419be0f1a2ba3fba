"""The queue engine: rings in host memory on one side, chains of buffers on the other."""

from .engine import QueueEngine
from .layouts import (
    Fault,
    Notification,
    Offer,
    QueueCommand,
    QueueId,
    QueueOperation,
    RingArea,
    Segment,
    Take,
    TakeOperation,
    Used,
)

__all__ = [
    "Fault",
    "Notification",
    "Offer",
    "QueueCommand",
    "QueueEngine",
    "QueueId",
    "QueueOperation",
    "RingArea",
    "Segment",
    "Take",
    "TakeOperation",
    "Used",
]
