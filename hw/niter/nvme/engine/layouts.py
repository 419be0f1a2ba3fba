"""What the parts of the engine say to each other."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "LIST_ENTRIES",
    "MAX_SECTORS",
    "PAGE_BITS",
    "TAG_BITS",
    "Command",
    "Fetched",
    "Ident",
    "Job",
    "Kind",
    "LookupPort",
    "LowHalf",
    "Mark",
    "Outcome",
    "Place",
    "PlacePort",
    "Position",
    "Record",
    "State",
    "StoreFirst",
    "StorePage",
]

#: A page of the host's has 4 KiB: CAP.MPSMIN and MPSMAX are zero.
PAGE_BITS = 12

#: Pages that one command's PRP list may name beside the page of PRP1.
LIST_ENTRIES = 32

#: Most sectors of a command with data, 128 KiB: MDTS is 5.
MAX_SECTORS = 256

#: Width of a tag, for up to 64 of them.
TAG_BITS = 6


class Kind(enum.Enum, shape=3):
    """What a command does."""

    FLUSH = 0
    WRITE = 1
    READ = 2
    COMPARE = 3
    WRITE_ZEROES = 4
    #: Dataset Management.
    DATASET = 5
    VERIFY = 6


class Outcome(enum.Enum, shape=4):
    """How a command ends; ``status.py`` has the codes of the specification."""

    OK = 0
    INVALID_OPCODE = 1
    INVALID_FIELD = 2
    INVALID_NAMESPACE = 3
    PRP_OFFSET = 4
    OUT_OF_RANGE = 5
    WRITE_PROTECTED = 6
    DATA_TRANSFER = 7
    INTERNAL = 8
    PATH = 9
    RESERVED = 10
    READ_ERROR = 11
    WRITE_FAULT = 12
    COMPARE_FAILURE = 13


class Ident(data.Struct):
    """What a command is and whom its completion goes to.

    Members
    -------
    index : 4 bits
        Its namespace: NSID - 1.
    broadcast : 1 bit
        It is about all namespaces; ``index`` is the one whose turn it is.
    """

    function: 3
    queue: 5
    cid: 16
    kind: Kind
    index: 4
    broadcast: 1
    fua: 1


class Command(data.Struct):
    """A submission entry that was decoded.

    Members
    -------
    outcome : Outcome
        Not OK if the entry alone shows that it cannot be carried out.
    start : 64 bits
        First block; dwords 10 and 11 as they are.
    blocks : 17 bits
        Number of blocks.
    """

    ident: Ident
    outcome: Outcome
    prp1: 64
    prp2: 64
    start: 64
    blocks: 17


class State(data.Struct):
    """The first word of a tag's state.

    Members
    -------
    busy : 1 bit
        The tag is in use.
    waiting : 1 bit
        It waits for its next request, and has none; without ``busy``, it was cancelled there.
    more : 1 bit
        The request that is under way is not the last one.
    """

    ident: Ident
    busy: 1
    waiting: 1
    more: 1


class Record(data.Struct):
    """What the card knows of a namespace; ``blocks`` of its size."""

    active: 1
    read_only: 1
    #: A block has 4096 bytes, not 512.
    large: 1
    volume: 4
    blocks: 56


#: Reading a namespace's record, seen from who asks: ``start`` for one cycle, with what stays
#: until ``done``; the record stays until the next start.
LookupPort = wiring.Signature(
    {
        "start": Out(1),
        "function": Out(3),
        "index": Out(4),
        "done": In(1),
        "record": In(Record),
    }
)


class Job(data.Struct):
    """Something to fetch from host memory for a command.

    Members
    -------
    range : 1 bit
        A range of Dataset Management; otherwise a PRP list.
    number : 8 bits
        Which range.
    address : 64 bits
        Where the list begins.
    entries : 6 bits
        Entries of the list that are pages of data: 2 to 32.
    """

    tag: TAG_BITS
    function: 3
    range: 1
    number: 8
    address: 64
    entries: 6


class Fetched(data.Struct):
    """The end of a job; with a range, its first block and its length in blocks."""

    tag: TAG_BITS
    outcome: Outcome
    start: 64
    blocks: 32


class LowHalf(data.Struct):
    """Bits 31:2 of PRP1, and what else must be known of a command when its data moves.

    Members
    -------
    compare : 1 bit
        What is pushed is to be compared.
    dead : 1 bit
        The command was cancelled: nothing may be read or written.
    """

    address: 30
    function: 3
    compare: 1
    dead: 1


class StoreFirst(data.Struct):
    """Store a half of PRP1: a ``LowHalf``, or bits 63:32."""

    en: 1
    half: 1
    tag: TAG_BITS
    data: 35


class StorePage(data.Struct):
    """Store the number of a page behind the first."""

    en: 1
    tag: TAG_BITS
    entry: 5
    data: 52


class Mark(data.Struct):
    """What a comparison has shown of a command."""

    tag: TAG_BITS
    outcome: Outcome


class Position(data.Struct):
    """A byte of a command's data, counted from its first: a multiple of four."""

    tag: TAG_BITS
    byte: 18


class Place(data.Struct):
    """Where such a byte lies in host memory; the flags are those of ``LowHalf``."""

    address: 64
    function: 3
    compare: 1
    dead: 1


#: Asking for a place, seen from who asks: ``done`` is high for one cycle, with ``place``, some
#: cycles after the request was accepted.
PlacePort = wiring.Signature(
    {
        "request": Out(stream.Signature(Position)),
        "place": In(Place),
        "done": In(1),
    }
)
