"""What the queue engine says to the transport above it and to the devices beside it.

The format of the ring does not show here: a device sees chains of segments and gives
them back as used. Two kinds of queue exist. A *pushed* queue (transmit, control, block)
is served as the driver fills it: the engine sends its chains to the device. A *pulled*
queue (receive) is served as the device asks: the engine only keeps segments at hand.
"""

from amaranth.lib import data, enum

__all__ = [
    "HEAD_BITS",
    "Fault",
    "Notification",
    "Offer",
    "QueueCommand",
    "QueueId",
    "QueueOperation",
    "RingArea",
    "Segment",
    "Take",
    "TakeOperation",
    "Used",
]


class QueueId(data.Struct):
    """A queue of a function."""

    index: 4
    function: 3


class RingArea(enum.Enum, shape=2):
    """The three parts of a virtqueue, as virtio 1.2, 2.6 names them."""

    DESCRIPTOR = 0
    DRIVER = 1
    DEVICE = 2


class QueueOperation(enum.Enum, shape=2):
    """What the transport asks of the engine."""

    #: The queue starts, from index 0, at the three addresses given before.
    ENABLE = 0
    #: Forget the queue (queue reset, device reset): acknowledged when nothing of it is
    #: outstanding in the engine and none of its chains is at a device.
    DISABLE = 1
    #: Where one ``area`` of a queue that is not enabled stands.
    ADDRESS = 2


class QueueCommand(data.Struct):
    """One step of starting or stopping a queue.

    A queue is started by three ``ADDRESS`` commands, one an area, and ``ENABLE``; only
    ``DISABLE`` is acknowledged, whether the queue was enabled or not.

    Members
    -------
    operation, queue
        Valid with all.
    area, address
        ``ADDRESS`` only.
    size : 11 bits
        Entries, 1 to 1024, a power of two. This and all below: ``ENABLE`` only.
    vector : 8 bits
        MSI-X vector; valid when ``interrupt`` is set.
    pulled : 1 bit
        The device asks for chains, where otherwise they are pushed to it.
    event_idx, indirect : 1 bit
        VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC were negotiated.
    weight : 2 bits
        The queue may start ``1 << weight`` chains whenever its turn comes.
    """

    operation: QueueOperation
    queue: QueueId
    area: RingArea
    address: 64
    size: 11
    interrupt: 1
    vector: 8
    pulled: 1
    event_idx: 1
    indirect: 1
    weight: 2


class Notification(data.Struct):
    """The driver has made buffers available; with NOTIFICATION_DATA it says up to where."""

    queue: QueueId
    has_index: 1
    index: 16


#: A chain's name: its head's index in a ring of up to 1024 entries.
HEAD_BITS = 10


class Segment(data.Struct):
    """One contiguous piece of a chain, in the order of its descriptors.

    ``head`` names the chain when it is given back. ``total`` is the number of bytes in
    all device-readable segments of the chain, 131,071 if there are more; it is valid with
    ``first`` and of a pushed queue only. A chain is checked before its first segment is
    handed over, and its segments follow each other with none of another chain between.
    """

    queue: QueueId
    head: HEAD_BITS
    address: 64
    length: 32
    total: 17
    writable: 1
    first: 1
    last: 1


class TakeOperation(enum.Enum, shape=2):
    """What a device asks of a pulled queue."""

    #: Hand over the next chain: answered by its segments, or by one offer with ``none``
    #: (always, once the queue is being disabled).
    CHAIN = 0
    #: The chains taken since the last commit are the device's now. Not answered.
    COMMIT = 1
    #: They go back to the queue, as if never taken. Not answered.
    ROLLBACK = 2


class Take(data.Struct):
    """A device's request to a pulled queue."""

    operation: TakeOperation
    queue: QueueId


class Offer(data.Struct):
    """The answer to ``CHAIN``: a segment, or ``none`` when the queue has no chain to give.

    With ``none``, ``soon`` says that chains are on their way, or may be: whoever asks again will
    get one, unless the driver has put up no more or breaks the rules. It is clear when the ring was
    empty at the last look, when nothing comes before a ``COMMIT`` or a ``ROLLBACK`` makes room, and
    when the queue is being disabled or its function has a fault.
    """

    none: 1
    soon: 1
    segment: Segment


class Used(data.Struct):
    """A chain goes back to the driver with ``length`` bytes written into it.

    Every chain of a pushed queue, and every chain of a pulled one that was committed, is
    given back exactly once, in any order, also when its queue is being disabled.

    While ``more`` is set, further chains of the same queue follow that must become visible
    together with this one: the used index moves, and an interrupt is considered, with the
    first entry that has ``more`` clear.
    """

    queue: QueueId
    head: HEAD_BITS
    length: 32
    more: 1


class Fault(data.Struct):
    """``function``'s driver broke the rules of the ring: the device needs a reset."""

    function: 3
