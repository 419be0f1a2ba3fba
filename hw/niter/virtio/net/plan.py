"""What the receive mover's halves tell each other: frames, and the plan of where each goes."""

from amaranth.lib import data

from niter.interface import MAX_TRANSFER_BYTES
from niter.virtio.queue.layouts import HEAD_BITS, QueueId

__all__ = ["DEPTH", "PIECE_BYTES", "WORD_BITS", "Arrival", "FrameWord", "SegmentWord"]

#: Words of a plan's storage: one EBR.
DEPTH = 512
WORD_BITS = 36

#: The longest piece, a power of two. The largest transfer would be too long at any lane but 0.
PIECE_BYTES = MAX_TRANSFER_BYTES // 2


class Arrival(data.Struct):
    """A frame that has come in: its length, function, flow, and its checksum's state."""

    length: 14
    function: 3
    flow: 4
    checksum_good: 1


class FrameWord(data.Struct):
    """First word of a plan. ``dropped`` plans have no others."""

    dropped: 1
    valid_flag: 1
    queue: QueueId
    buffers: 9
    bytes: 14


class SegmentWord(data.Struct):
    """Third word of a segment, behind the halves of its address.

    ``chain_last`` and ``frame_last`` mark the last segment of a chain and of the plan.
    """

    length: range(PIECE_BYTES + 1)
    head: HEAD_BITS
    chain_last: 1
    frame_last: 1
