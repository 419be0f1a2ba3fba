"""What the used writer knows of a queue: two words of its RAM; and when an interrupt is due."""

from amaranth import Value
from amaranth.lib import data

__all__ = ["Ring", "Shown", "beyond", "moved"]


class Ring(data.Struct):
    """What is known of a queue: the first word.

    Members
    -------
    index : 16 bits
        Entries written, ever.
    reading : 1 bit
        The event index is being read.
    again : 1 bit
        The used index has moved meanwhile.
    enabled, interrupt, vector, event_idx, size_log2
        As configured.
    """

    index: 16
    reading: 1
    again: 1
    enabled: 1
    interrupt: 1
    vector: 8
    event_idx: 1
    size_log2: 4


class Shown(data.Struct):
    """The second word: what the driver knows.

    Members
    -------
    visible : 16 bits
        How far it may look: all but a group that is not complete.
    told : 16 bits
        The used index up to which it needs no further interrupt.
    """

    visible: 16
    told: 16


def moved(told: Value, visible: Value) -> Value:
    """How far the used index has moved since it was last considered."""
    return (visible - told)[:16]


def beyond(event: Value, visible: Value) -> Value:
    """How many entries stand behind the one that the driver waits for.

    An interrupt is due when that is less than what ``moved`` says (virtio 1.2, 2.7.7.2): the
    driver waits for one of the entries since.
    """
    return (visible + ~event)[:16]
