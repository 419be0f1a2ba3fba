"""The virtio network device: its data movers, and their assembly with engine and transport."""

from .counters import FrameCounters
from .device import VirtioNet
from .layouts import (
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MIN_FRAME_BYTES,
    Event,
    Negotiated,
    Record,
    receive_queue,
    transmit_queue,
)
from .receive import Receive
from .scatter import Cut, Scatter
from .transmit import Transmit

__all__ = [
    "HEADER_BYTES",
    "MAX_FRAME_BYTES",
    "MIN_FRAME_BYTES",
    "Cut",
    "Event",
    "FrameCounters",
    "Negotiated",
    "Receive",
    "Record",
    "Scatter",
    "Transmit",
    "VirtioNet",
    "receive_queue",
    "transmit_queue",
]
