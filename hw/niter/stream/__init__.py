"""What all rooms are made of: streams buffered, joined, split, narrowed, cut and summed."""

from niter.ram import Ram

from .arbiter import Arbiter
from .buffer import HalfBuffer, PipeRegister, SkidBuffer
from .checksum import Checksum
from .demux import Demux
from .fifo import AsyncFifo, Fifo
from .header import HeaderInsert, HeaderRemove
from .layout import beat_of, sideband_of
from .packet_fifo import PacketFifo
from .realign import Realigner, piece_layout
from .width import WidthConverter, beat_layout

__all__ = [
    "Arbiter",
    "AsyncFifo",
    "Checksum",
    "Demux",
    "Fifo",
    "HalfBuffer",
    "HeaderInsert",
    "HeaderRemove",
    "PacketFifo",
    "PipeRegister",
    "Ram",
    "Realigner",
    "SkidBuffer",
    "WidthConverter",
    "beat_layout",
    "beat_of",
    "piece_layout",
    "sideband_of",
]
