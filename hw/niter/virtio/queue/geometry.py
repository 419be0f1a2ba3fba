"""How big the engine is, and what its parts say to each other."""

from dataclasses import dataclass

from amaranth.lib import data, enum

from niter.interface import MAX_FUNCTIONS

__all__ = [
    "SLOTS",
    "SLOT_SEGMENTS",
    "Access",
    "AccessKind",
    "Answer",
    "AnswerKind",
    "Begin",
    "Commit",
    "Context",
    "Control",
    "ControlKind",
    "Geometry",
    "Job",
    "Release",
]

#: Chains that are being put together at once.
SLOTS = 8

#: Segments that a slot holds itself; longer chains go on in the one overflow area.
SLOT_SEGMENTS = 8


@dataclass(frozen=True)
class Geometry:
    """The engine's size.

    A queue is known inside by its *row*: its index and, above it, its function.

    Parameters
    ----------
    functions
        Functions served, 1 to 8.
    pulled
        Indices of the queues, of each function, that may be pulled.
    depth
        Segments kept at hand for a pulled queue, and so the longest chain that it takes:
        8, 16 or 32.
    """

    functions: int = 4
    pulled: tuple[int, ...] = (0, 2, 4, 6)
    depth: int = 32

    def __post_init__(self):
        if not 1 <= self.functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {self.functions!r}")
        if not self.pulled or not all(0 <= index < 16 for index in self.pulled):
            raise ValueError(f"Pulled queues have indices from 0 to 15, not {self.pulled!r}")
        if self.depth not in (8, 16, 32):
            raise ValueError(f"A pulled queue keeps 8, 16 or 32 segments, not {self.depth!r}")

    @property
    def row_bits(self) -> int:
        """Width of a row number."""
        return 4 + (self.functions - 1).bit_length()

    @property
    def rows(self) -> int:
        """Rows in the tables, used or not."""
        return 1 << self.row_bits

    @property
    def pulled_bits(self) -> int:
        """Width of a pulled queue's place among those of its function."""
        return (len(self.pulled) - 1).bit_length()


class AccessKind(enum.Enum, shape=2):
    """What a part wants of host memory."""

    READ = 0
    WRITE = 1
    INTERRUPT = 2


class Access(data.Struct):
    """One access to a ring, or to an indirect table.

    Members
    -------
    kind : AccessKind
    place : 7 bits
        The row whose area is meant, or the slot whose indirect table.
    area : 2 bits
        ``RingArea``; 3 is the indirect table.
    function : 3 bits
    offset : 14 bits
        Bytes from the area's beginning.
    length : 8 bits
        Bytes, 2 to 128.
    run : 1 bit
        ``WRITE``: its bytes were given to the run stream.
    value : 16 bits
        ``READ``: the context. ``WRITE``: the two bytes, unless it is a run.
        ``INTERRUPT``: the vector.
    """

    kind: AccessKind
    place: 7
    area: 2
    function: 3
    offset: 14
    length: 8
    run: 1
    value: 16


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


class Context(data.Struct):
    """Travels with a read, so that its answer finds its way.

    ``place`` is a row, for ``DESCRIPTORS`` a slot. ``extra`` is the place of the first head
    in the row's head buffer, or 1 for the first read of a chain.
    """

    kind: AnswerKind
    place: 7
    extra: 7


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
