"""What the front's parts keep about queues, and what they say to each other.

Each queue has a row of words in block RAM, named by function and identifier; the admin queues
have identifier 0. Pointers have 12 bits, since the admin queues may have 4,096 entries whatever
CAP.MQES says (Base 2.0, 3.1.3.8).
"""

from dataclasses import dataclass

from amaranth import Cat, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from niter.interface import MAX_FUNCTIONS

__all__ = [
    "BATCH",
    "WORD_BITS",
    "Arrival",
    "Base",
    "Claim",
    "Coalescing",
    "CompletionPointers",
    "CompletionUse",
    "Doorbell",
    "Geometry",
    "Post",
    "Purge",
    "ReadContext",
    "RowCommand",
    "RowOperation",
    "RowPort",
    "SubmissionPointers",
    "SubmissionUse",
    "Waiting",
    "Word",
]

#: Most submission entries that are read at once.
BATCH = 8

#: Width of a row's words.
WORD_BITS = 32


@dataclass(frozen=True)
class Geometry:
    """Size of the front.

    Parameters
    ----------
    functions
        Controllers, 1 to 8.
    queues
        Pairs of I/O queues that each may have, 1 to 16.

    Raises
    ------
    ValueError
        A number is out of range.
    """

    functions: int
    queues: int

    def __post_init__(self):
        if not 1 <= self.functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} controllers, not {self.functions!r}")
        if not 1 <= self.queues <= 16:
            raise ValueError(f"There are 1 to 16 pairs of I/O queues, not {self.queues!r}")

    @property
    def queue_bits(self) -> int:
        """Bits of a queue's identifier."""
        return bits_for(self.queues)

    @property
    def rows(self) -> int:
        """Rows of each kind of queue, a power of two."""
        return 1 << self.queue_bits + ceil_log2(self.functions)

    def row(self, function: Value, queue: Value) -> Value:
        """The number of a queue's row."""
        return Cat(queue[: self.queue_bits], function[: ceil_log2(self.functions)])


class Word(enum.IntEnum, shape=3):
    """The words of a row. Those of submission queues end with ``USE``."""

    #: ``Base``.
    BASE = 0
    #: Upper half of the address.
    HIGH = 1
    #: ``SubmissionPointers`` or ``CompletionPointers``.
    POINTERS = 2
    #: ``SubmissionUse`` or ``CompletionUse``.
    USE = 3
    #: ``Coalescing``.
    COALESCING = 4
    #: ``Waiting``.
    WAITING = 5


class Base(data.Struct):
    """Entries less one, and the lower half of the address, which is on a page."""

    last: 12
    page: 20


class SubmissionPointers(data.Struct):
    """How far a submission queue has come.

    Members
    -------
    tail : 12 bits
        As the host wrote it last.
    head : 12 bits
        The first entry that has not been read whole.
    reading : 4 bits
        Entries that are being read.
    listed : 1 bit
        The row stands in the list of those that wait for their turn.
    active : 1 bit
        The queue exists.
    """

    tail: 12
    head: 12
    reading: 4
    listed: 1
    active: 1
    _unused: 2


class SubmissionUse(data.Struct):
    """Entries that were asked for and not completed, and the completion queue."""

    outstanding: 12
    partner: 8
    _unused: 12


class CompletionPointers(data.Struct):
    """How far a completion queue has come. ``phase`` is inverted: it starts as zero."""

    tail: 12
    head: 12
    phase: 1
    _unused: 4
    active: 1
    _spare: 2


class CompletionUse(data.Struct):
    """Entries that are claimed or not yet taken by the host, and the vector."""

    used: 12
    partner: 8
    _unused: 12


class Coalescing(data.Struct):
    """When a completion queue interrupts; see ``messages.Reply``."""

    threshold: 8
    time: 8
    _unused: 16


class Waiting(data.Struct):
    """Entries that were posted without an interrupt, and for how long the first has waited."""

    count: 8
    age: 8
    _unused: 16


class RowOperation(enum.Enum, shape=2):
    """What the steward wants of a row."""

    STORE = 0
    LOAD = 1
    #: Completion queues only: ``data`` claims less.
    RELEASE = 2


class RowCommand(data.Struct):
    """One operation on a word of a row."""

    operation: RowOperation
    function: 3
    queue: 5
    word: Word
    data: WORD_BITS


#: How the steward gets at rows. ``loaded`` is valid when ``LOAD`` is accepted.
RowPort = wiring.Signature({"command": Out(stream.Signature(RowCommand)), "loaded": In(WORD_BITS)})


class Doorbell(data.Struct):
    """The host has written a doorbell of a queue that may exist."""

    function: 3
    queue: 5
    value: 16


class Claim(data.Struct):
    """Room for ``count`` entries is wanted in completion queue ``queue``."""

    function: 3
    queue: 5
    count: 4


class ReadContext(data.Struct):
    """Travels with a read of entries."""

    function: 3
    queue: 5
    count: 4
    _unused: 4


class Arrival(data.Struct):
    """``count`` entries of a submission queue were read, or could not be."""

    function: 3
    queue: 5
    count: 4
    error: 1


class Post(data.Struct):
    """An entry for completion queue ``partner``; the other fields as they stand in it."""

    function: 3
    partner: 5
    queue: 5
    head: 12
    cid: 16
    status: 15
    result: 32


class Purge(data.Struct):
    """Forget what was read of a submission queue, or with ``queue`` zero of a function."""

    function: 3
    queue: 5
