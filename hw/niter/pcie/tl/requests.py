"""Where received requests wait: one memory with a queue for each class.

A posted request is an entry that says what it is, followed by its payload as eight-byte
words with their byte enables. A non-posted request is its first beat as it came, and then its
third doubleword, or its low address, below the first doubleword of data; none that is supported
has more. Entries become visible when their TLP has proved whole,
and vanish when it has not.

The credits that are granted are as many as the queues can take in the worst case, so the
writer never needs to ask whether there is room.
"""

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.stream import Ram

from .count import increment

__all__ = [
    "NONPOSTED_HEADERS",
    "POSTED_DATA",
    "POSTED_HEADERS",
    "Entry",
    "PostedEntry",
    "RequestQueues",
    "Target",
]

#: Entries of each queue.
_DEPTH = 256

#: Credits granted. A posted request takes an entry, at most two words for each data credit,
#: and one more where it is not aligned; a non-posted request takes two entries.
POSTED_HEADERS, POSTED_DATA, NONPOSTED_HEADERS = 32, 88, 32

assert 2 * POSTED_HEADERS + 2 * POSTED_DATA < _DEPTH and 2 * NONPOSTED_HEADERS < _DEPTH


class Target(data.Struct):
    """What an address hit: a BAR of a function, by half its index."""

    hit: 1
    function: 3
    bar: 2


class PostedEntry(data.Struct):
    """What stands before the words of a posted request, in the 64 bits of data of an entry."""

    #: Address in the BAR, in doublewords, modulo 4 GiB.
    address: 30
    #: Doublewords of payload; what is too long for this field is malformed.
    length: 7
    target: Target
    #: The words follow, to be written; otherwise only the credits are to be returned.
    execute: 1
    unsupported: 1
    poisoned: 1
    #: It is a PME_Turn_Off message.
    turn_off: 1


class Entry(data.Struct):
    """An entry of either queue.

    ``note`` is the byte enables of a word. With the first beat of a non-posted request it is
    the ``Target``, with the second the number of the posted request that it follows.
    """

    data: 64
    note: 8


class RequestQueues(wiring.Component):
    """The two queues in one memory of 512 entries, with one write and one read port.

    Members
    -------
    i : In(Entry), i_write, i_nonposted : In(1)
        An entry to be written, and to which queue.
    i_commit, i_discard : In(1)
        The entries written to ``i_nonposted``'s queue since the last commit, this cycle's
        included, are whole, or are to be forgotten.
    o : Out(Entry)
        What was read; holds until the next read.
    o_read, o_nonposted : In(1)
        Read and remove the oldest entry of a queue; ``o`` has it the cycle after. The queue
        must have one.
    posted, nonposted : Out(1)
        The queue has a committed entry.
    """

    i: In(Entry)
    i_write: In(1)
    i_nonposted: In(1)
    i_commit: In(1)
    i_discard: In(1)
    o: Out(Entry)
    o_read: In(1)
    o_nonposted: In(1)
    posted: Out(1)
    nonposted: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = storage = Ram(shape=Entry, depth=2 * _DEPTH, init=[])
        write, read = storage.write_port(), storage.read_port()
        pointers = data.StructLayout(
            {"write": range(_DEPTH), "commit": range(_DEPTH), "read": range(_DEPTH)}
        )
        queues = Array([Signal(pointers, name="posted_at"), Signal(pointers, name="nonposted_at")])
        writing, reading = queues[self.i_nonposted], queues[self.o_nonposted]
        written = Signal(range(_DEPTH))
        m.d.comb += [
            write.addr.eq(Cat(writing.write, self.i_nonposted)),
            write.data.eq(self.i),
            write.en.eq(self.i_write),
            written.eq(increment(writing.write, self.i_write)),
            read.addr.eq(Cat(reading.read, self.o_nonposted)),
            read.en.eq(self.o_read),
            self.o.eq(read.data),
            self.posted.eq(queues[0].read != queues[0].commit),
            self.nonposted.eq(queues[1].read != queues[1].commit),
        ]
        with m.If(self.i_discard):
            m.d.sync += writing.write.eq(writing.commit)
        with m.Else():
            m.d.sync += writing.write.eq(written)
            with m.If(self.i_commit):
                m.d.sync += writing.commit.eq(written)
        with m.If(self.o_read):
            m.d.sync += reading.read.eq(increment(reading.read))
        return m
