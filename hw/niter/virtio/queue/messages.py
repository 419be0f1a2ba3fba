"""What the engine's parts say to each other."""

from amaranth import Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .layouts import RingArea

__all__ = [
    "Access",
    "AccessKind",
    "Answer",
    "AnswerKind",
    "Area",
    "AreaId",
    "Begin",
    "Commit",
    "Context",
    "Control",
    "ControlKind",
    "Job",
    "Release",
    "SlotContext",
    "Supervision",
]


class AnswerKind(enum.Enum, shape=2):
    """What was read."""

    #: The available index.
    INDEX = 0
    #: Entries of the available ring.
    HEADS = 1
    #: Descriptors of a chain.
    DESCRIPTORS = 2
    #: The used event index, or the available ring's flags.
    EVENT = 3


class AccessKind(enum.Enum, shape=3):
    """What a part wants of host memory. The lower bits of a read are its answer's kind."""

    READ_INDEX = AnswerKind.INDEX.value
    READ_HEADS = AnswerKind.HEADS.value
    READ_DESCRIPTORS = AnswerKind.DESCRIPTORS.value
    READ_EVENT = AnswerKind.EVENT.value
    #: Two bytes.
    WRITE = 4
    #: Bytes that were given to the run stream.
    WRITE_RUN = 5
    INTERRUPT = 6

    @staticmethod
    def is_read(kind: Value) -> Value:
        """Is it one of the reads?"""
        return ~Value.cast(kind)[2]


class Area(enum.Enum, shape=2):
    """What has an address: the parts of a ring, as in ``RingArea``, and an indirect table."""

    DESCRIPTOR = RingArea.DESCRIPTOR.value
    DRIVER = RingArea.DRIVER.value
    DEVICE = RingArea.DEVICE.value
    TABLE = 3


class AreaId(data.Struct):
    """An area of a row, or the table of a slot, whose number then stands in ``index``."""

    area: Area
    index: 4
    function: 3


class Access(data.Struct):
    """One access to a ring, or to an indirect table.

    Members
    -------
    kind : AccessKind
    of : AreaId
    offset : 14 bits
        Bytes from the area's beginning.
    length : 8 bits
        Bytes, 2 to 128.
    value : 16 bits
        Of a read: the context's ``extra``. ``WRITE``: the two bytes. ``INTERRUPT``: the vector.
    """

    kind: AccessKind
    of: AreaId
    offset: 14
    length: 8
    value: 16


class Context(data.Struct):
    """Travels with a read, so that its answer finds its way.

    ``row`` is the queue's, also that of a table. ``extra`` is what the access has in the lower
    bits of its value: with ``HEADS`` the place of the first head in the row's head buffer, with
    ``DESCRIPTORS`` a ``SlotContext``.
    """

    kind: AnswerKind
    row: 7
    extra: 4
    unused: 3


class SlotContext(data.Struct):
    """The slot that a read of descriptors is for; whether it is the first of its chain."""

    slot: 3
    first: 1


class Answer(data.Struct):
    """A small answer: an index, an event, or how many heads have arrived."""

    kind: AnswerKind
    row: 7
    value: 16
    error: 1


class ControlKind(enum.Enum, shape=2):
    """What the command part tells the others about a row."""

    START = 0
    #: Begin nothing new.
    STOP = 1
    #: After power-up or reset: it has never been started, and stands in no list.
    CLEAR = 2


class Control(data.Struct):
    """Told to each part; ``size_log2`` and below count for ``START``."""

    kind: ControlKind
    row: 7
    size_log2: 4
    interrupt: 1
    vector: 8
    pulled: 1
    event_idx: 1
    indirect: 1
    weight: 2


#: How the commander rules a part that keeps rows, seen from the commander. ``idle`` tells, one
#: cycle after ``control`` was accepted, that nothing of that row is under way; a part sets
#: ``fault`` for one cycle for the function whose driver broke the rules; ``stopped`` has a bit
#: for each function that has.
Supervision = wiring.Signature(
    {
        "control": Out(stream.Signature(Control)),
        "idle": In(1),
        "stopped": Out(MAX_FUNCTIONS),
        "fault": In(1),
        "fault_function": In(3),
    }
)


class Begin(data.Struct):
    """A chain to be put together.

    Members
    -------
    row, head, size_log2, pulled, indirect
        The queue, and the first descriptor.
    guess : 2 bits
        The first read takes ``1 << guess`` descriptors.
    first : 1 bit
        No other chain of this queue is in a slot.
    after : 3 bits
        Otherwise, the slot of the chain before it.
    """

    row: 7
    head: 10
    size_log2: 4
    pulled: 1
    indirect: 1
    guess: 2
    first: 1
    after: 3


class Job(data.Struct):
    """A complete chain, to be handed over."""

    slot: 3
    row: 7
    head: 10
    count: 7
    total: 17
    first: 1


class Release(data.Struct):
    """A slot is free again.

    Members
    -------
    slot, row
    delivered : 1 bit
        The chain was handed over. Otherwise it is to be begun anew, if the queue still
        runs.
    misfit : 1 bit
        There was no room for it; all later ones of the queue come back too.
    grain : 3 bits
        Logarithm of the number of its segments, rounded up, at most 5.
    """

    slot: 3
    row: 7
    delivered: 1
    misfit: 1
    grain: 3


class Commit(data.Struct):
    """``chains`` of a pulled queue have become the device's."""

    row: 7
    chains: 6
