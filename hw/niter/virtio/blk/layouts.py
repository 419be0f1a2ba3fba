"""What the parts of the block device say to each other, and the numbers of the specification."""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.virtio.queue.layouts import HEAD_BITS, QueueId

__all__ = [
    "DATA_BITS",
    "FACTS_INDEX",
    "HEADER_BYTES",
    "ID_BYTES",
    "MAX_RANGE_SECTORS",
    "MAX_SEGMENTS",
    "TAG_BITS",
    "Arrival",
    "Facts",
    "Header",
    "Kind",
    "PlacePort",
    "Segment",
    "StoreEntry",
    "Ticket",
]

#: Width of a tag between the parts: up to 64 requests.
TAG_BITS = 6

#: ``struct virtio_blk_req`` in front of the data (5.2.6): type, reserved, sector.
HEADER_BYTES = 16

#: What VIRTIO_BLK_T_GET_ID returns.
ID_BYTES = 20

#: Entries of a request in the table of segments: one a data segment, and one for the facts.
_INDEX_BITS = 4
FACTS_INDEX = (1 << _INDEX_BITS) - 1
MAX_SEGMENTS = FACTS_INDEX

#: A request has less than 32 MiB of data, since the block contract counts 16 bits of sectors.
DATA_BITS = 25

#: Sectors of one discard or write zeroes.
MAX_RANGE_SECTORS = 1 << 15


class Kind(enum.Enum, shape=3):
    """What a request asks for (5.2.6), as far as the device knows it."""

    IN = 0
    OUT = 1
    FLUSH = 2
    GET_ID = 3
    DISCARD = 4
    WRITE_ZEROES = 5
    UNKNOWN = 7


class Segment(data.Struct):
    """A data segment: ``end`` counts the request's data up to its last byte, that included."""

    address: 64
    end: DATA_BITS + 1


class Facts(data.Struct):
    """What is known of a request beside its data segments, in as many bits as ``Segment``.

    Members
    -------
    address : 64 bits
        Of the status byte.
    queue, head
        The chain.
    count : 4 bits
        Data segments.
    mute : 1 bit
        There is no place for a status.
    headless : 1 bit
        The device-readable part is shorter than a header.
    excess : 1 bit
        There are more data segments than can be kept, or 32 MiB of data or more.
    reads, writes : 1 bit
        There is device-writable data; there is device-readable data behind the header.
    """

    address: 64
    queue: QueueId
    head: HEAD_BITS
    count: _INDEX_BITS
    mute: 1
    headless: 1
    excess: 1
    reads: 1
    writes: 1


class StoreEntry(data.Struct):
    """One entry of a request's in the table of segments; ``content`` is one of the two above."""

    tag: TAG_BITS
    index: _INDEX_BITS
    content: 64 + DATA_BITS + 1


class Ticket(data.Struct):
    """The context of a header's read: whether it is the last one of its request."""

    final: 1
    unused: 15


class Arrival(data.Struct):
    """A request whose entries stand in the table; ``headed`` ones have a header to wait for."""

    tag: TAG_BITS
    headed: 1


class Header(data.Struct):
    """A request's header, and the range that may follow it.

    Members
    -------
    kind : Kind
    sector : 64 bits
        Of the header, or of the range if it is ``ranged``.
    ranged : 1 bit
        A ``struct virtio_blk_discard_write_zeroes`` follows, and nothing else.
    sectors : 16 bits
        Of the range; 0 if that is none, or more than ``MAX_RANGE_SECTORS``.
    unmap, reserved : 1 bit
        The range's flags: ``unmap``, and whether any other is set.
    failed : 1 bit
        It could not be read.
    """

    kind: Kind
    sector: 64
    ranged: 1
    sectors: 16
    unmap: 1
    reserved: 1
    failed: 1


#: A question to the table of segments: where does byte ``byte`` of ``tag``'s data stand?
#:
#: Seen from who asks; with ``beyond`` it is about what stands behind all data. ``facts`` are valid
#: with ``known``, for one cycle. Then comes ``done``, and from there to the next request that is
#: accepted, whoever's, ``address`` is that of the byte, of which ``left`` are in one piece, or 8191
#: if there are more. Beyond the data the answer is its ``total``, and as ``address`` that of the
#: status.
PlacePort = wiring.Signature(
    {
        "request": Out(
            stream.Signature(data.StructLayout({"tag": TAG_BITS, "byte": DATA_BITS, "beyond": 1}))
        ),
        "known": In(1),
        "facts": In(Facts),
        "done": In(1),
        "address": In(64),
        "left": In(13),
        "total": In(DATA_BITS),
        "function": In(3),
    }
)
