"""What the parts of the network device say to each other."""

from amaranth.lib import data, enum

__all__ = [
    "HEADER_BYTES",
    "MAX_FRAME_BYTES",
    "MIN_FRAME_BYTES",
    "Event",
    "Negotiated",
    "Record",
    "receive_queue",
    "transmit_queue",
]

#: Size of ``struct virtio_net_hdr`` with VERSION_1, with or without MRG_RXBUF (5.1.6).
HEADER_BYTES = 12

#: Shortest frame that a driver may send: an Ethernet header.
MIN_FRAME_BYTES = 14

#: Longest frame either way, without FCS.
MAX_FRAME_BYTES = 9600


def receive_queue(pair: int) -> int:
    """Index of the receive queue of a pair (5.1.2)."""
    return 2 * pair


def transmit_queue(pair: int) -> int:
    """Index of the transmit queue of a pair (5.1.2)."""
    return 2 * pair + 1


class Negotiated(data.Struct):
    """What a driver has negotiated, as far as it changes how frames move.

    Members
    -------
    csum, guest_csum, mrg_rxbuf : 1 bit
        The feature bits of the same names.
    pairs : 3 bits
        Queue pairs that the device may use: 1 after reset, later what the driver set by
        VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET.
    """

    csum: 1
    guest_csum: 1
    mrg_rxbuf: 1
    pairs: 3


class Event(enum.Enum, shape=2):
    """What became of a frame; the lower bits of its counter's index."""

    #: Passed on. Counted as a frame, and its bytes under ``BYTES``.
    FRAME = 0
    BYTES = 1
    #: ``tx``: a frame or header that breaks the rules. ``rx``: no buffers for it.
    DROPPED = 2
    #: ``tx``: host memory could not be read. ``rx``: the frame ended in error.
    FAILED = 3


class Record(data.Struct):
    """One frame's entry in the books: ``bytes`` counts with ``FRAME`` only."""

    function: 3
    event: Event
    bytes: 14
