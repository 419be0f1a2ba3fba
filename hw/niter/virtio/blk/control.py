"""The life of a request: one machine takes all requests through it, a step at a time."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import (
    BEAT_BYTES,
    MAX_FUNCTIONS,
    BlockCompletion,
    BlockOpcode,
    BlockRequest,
    HostWrite,
    WriteKind,
)
from niter.stream import Fifo
from niter.virtio.queue.layouts import Fault, QueueId, Used

from .check import STATUS, Check, Outcome
from .layouts import DATA_BITS, ID_BYTES, TAG_BITS, Arrival, Facts, Header, PlacePort

__all__ = ["Control"]


class Control(wiring.Component):
    """Takes each request from its arrival to its used chain.

    ::

        arrival ── facts ── header ──┬── request ··· its end ──┬── status ── used
                                     ├── identity ─────────────┤
                                     └─────────────────────────┘

    What is known of a request stands in the table of segments, and is in registers only while
    it has a step to take: an arrival takes about 14 cycles, the end of a request 12, and one
    more for each of its segments. Ends go first, and wait for no request to be accepted. An
    answer of GET_ID is written byte by byte, 12 cycles each.

    A chain without a place for a status is given back with length 0, and its function needs a
    reset. While a queue is being closed its requests are aborted, one after the other, and its
    chains go back with nothing done; each is given back when no data of it moves any more.

    Parameters
    ----------
    tags
        Requests at a time, a power of two up to 64.

    Members
    -------
    tags : Out(stream.Signature(TAG_BITS))
        Free tags.
    arrival : In(Arrival), arrived : In(1)
        Requests, in the order of their headers.
    header : In(stream.Signature(Header))
        Of those that have one.
    place : Out(PlacePort)
        Table of segments.
    request, ended, abort, aborted
        ``request``, ``completion``, ``abort`` and ``aborted`` of the block port.
    mark : Out(1), drained : In(1)
        See ``Pull`` and ``Push``.
    write : Out(HostWrite)
        Statuses and identities.
    used : Out(stream.Signature(Used)), faults : Out(stream.Signature(Fault))
        To the engine and the transport.
    closing : In(1), closing_queue : In(QueueId)
        A queue is being closed; until all its chains have come back.
    discard, write_zeroes, flush : In(8)
        What each function's driver has negotiated. Without FLUSH, writes are stable when they
        are answered (5.2.6.2).
    volume : In(4)
        That of function ``function``.
    function : Out(3), number : Out(5), byte : In(8)
        Byte ``number`` of the identity of ``function``'s disk, one cycle later.
    """

    def __init__(self, tags: int):
        self.tag_count = tags
        super().__init__(
            {
                "tags": Out(stream.Signature(TAG_BITS)),
                "arrival": In(Arrival),
                "arrived": In(1),
                "header": In(stream.Signature(Header)),
                "place": Out(PlacePort),
                "request": Out(stream.Signature(BlockRequest)),
                "ended": In(stream.Signature(BlockCompletion)),
                "abort": Out(stream.Signature(8)),
                "aborted": In(stream.Signature(8)),
                "mark": Out(1),
                "drained": In(1),
                "write": Out(HostWrite),
                "used": Out(stream.Signature(Used)),
                "faults": Out(stream.Signature(Fault)),
                "closing": In(1),
                "closing_queue": In(QueueId),
                "discard": In(MAX_FUNCTIONS),
                "write_zeroes": In(MAX_FUNCTIONS),
                "flush": In(MAX_FUNCTIONS),
                "volume": In(4),
                "function": Out(3),
                "number": Out(5),
                "byte": In(8),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        # Both have room for every tag.
        m.submodules.free = free = Fifo(TAG_BITS, self.tag_count)
        m.submodules.arrivals = arrivals = Fifo(Arrival, self.tag_count)
        m.submodules.check = check = Check()
        m.submodules.open = opened = memory.Memory(shape=1, depth=self.tag_count, init=[])
        mark_open, is_open = opened.write_port(), opened.read_port(domain="comb")
        connect(m, free.o, flipped(self.tags))

        tag = Signal(TAG_BITS)
        facts = Signal(Facts)
        total = Signal(DATA_BITS)
        outcome = Signal(Outcome)
        function = facts.queue.function
        request = self.request
        last_tag = self.tag_count - 1

        def negotiated(features):
            return features.bit_select(function, 1)

        m.d.comb += [
            arrivals.i.payload.eq(self.arrival),
            arrivals.i.valid.eq(self.arrived),
            free.i.payload.eq(tag),
            self.function.eq(function),
            self.place.request.payload.tag.eq(tag),
            check.facts.eq(facts),
            check.total.eq(total),
            check.header.eq(self.header.payload),
            check.discard.eq(negotiated(self.discard)),
            check.write_zeroes.eq(negotiated(self.write_zeroes)),
            mark_open.addr.eq(tag),
            self.used.payload.queue.eq(facts.queue),
            self.used.payload.head.eq(facts.head),
            self.faults.payload.function.eq(function),
        ]

        # What becomes of the request that is looked at.
        begins, scans = Signal(), Signal()
        #: It goes back without an answer.
        silent = Signal()
        #: It has got the data that it wanted; ``total`` no longer counts.
        written, nothing = Signal(), Signal()
        closed = Signal()
        m.d.comb += closed.eq(self.closing & (self.closing_queue == facts.queue))

        # The abort under way, and the tag that is looked at next.
        aborting, acknowledged = Signal(), Signal()
        victim, scanned = Signal(TAG_BITS), Signal(range(self.tag_count))
        m.d.comb += [
            is_open.addr.eq(scanned),
            self.abort.payload.eq(victim),
        ]

        # A byte to write: the status, or one of the identity.
        where = Signal(64)
        number = Signal(range(ID_BYTES + 1))
        identifies = Signal()
        write, data = self.write.command, self.write.data
        m.d.comb += [
            self.number.eq(number),
            write.p.kind.eq(WriteKind.MEMORY),
            write.p.address.eq(where),
            write.p.length.eq(1),
            write.p.function.eq(function),
            data.p.data.eq(Mux(identifies, self.byte, outcome.as_value()[:2])),
            data.p.empty.eq(BEAT_BYTES - 1),
            data.p.last.eq(1),
            self.place.request.payload.byte.eq(number),
            self.place.request.payload.beyond.eq(~identifies),
        ]

        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(self.abort.ready):
            m.d.sync += self.abort.valid.eq(0)
        with m.FSM():
            with m.State("RESET"):
                m.d.comb += free.i.valid.eq(1)
                m.d.sync += tag.eq(tag + 1)
                with m.If(tag == last_tag):
                    m.next = "IDLE"

            with m.State("IDLE"):
                m.d.sync += [
                    begins.eq(0),
                    scans.eq(0),
                    silent.eq(0),
                    identifies.eq(0),
                    number.eq(0),
                    outcome.eq(Outcome.IOERR),
                ]
                with m.If(self.ended.valid):
                    m.d.comb += self.ended.ready.eq(1)
                    m.d.sync += tag.eq(self.ended.payload.tag)
                    for status, answer in STATUS.items():
                        with m.If(self.ended.payload.status == status):
                            m.d.sync += outcome.eq(answer)
                    # What ends while it is being aborted is given back behind that.
                    with m.If(~aborting | (self.ended.payload.tag != victim)):
                        m.next = "ASK"
                with m.Elif(aborting & ~acknowledged & self.aborted.valid):
                    m.d.comb += [self.aborted.ready.eq(1), self.mark.eq(1)]
                    m.d.sync += acknowledged.eq(1)
                with m.Elif(acknowledged & self.drained):
                    m.d.sync += [aborting.eq(0), acknowledged.eq(0), silent.eq(1), tag.eq(victim)]
                    m.next = "ASK"
                with m.Elif(
                    arrivals.o.valid
                    & ~request.valid
                    & (self.header.valid | ~arrivals.o.payload.headed)
                ):
                    m.d.comb += arrivals.o.ready.eq(1)
                    m.d.sync += [tag.eq(arrivals.o.payload.tag), begins.eq(1)]
                    m.next = "ASK"
                with m.Elif(self.closing & ~aborting & ~request.valid):
                    m.d.sync += [scanned.eq(scanned + 1), tag.eq(scanned), scans.eq(1)]
                    with m.If(is_open.data):
                        m.next = "ASK"

            with m.State("ASK"):
                m.d.comb += self.place.request.valid.eq(1)
                with m.If(self.place.request.ready):
                    m.next = "PLACE"
            with m.State("PLACE"):
                with m.If(self.place.known):
                    m.d.sync += facts.eq(self.place.facts)
                with m.If(self.place.done):
                    m.d.sync += [total.eq(self.place.total), where.eq(self.place.address)]
                    m.d.comb += nothing.eq(~begins & ~written)
                    m.next = "WRITE"
                    with m.If(scans):
                        m.next = "SCAN"
                    with m.Elif(begins):
                        m.next = "CHECK"
                    with m.Elif(silent):
                        m.next = "USED"

            with m.State("SCAN"):
                m.next = "IDLE"
                with m.If(closed):
                    m.d.sync += [aborting.eq(1), self.abort.valid.eq(1), victim.eq(tag)]

            with m.State("CHECK"):
                m.d.comb += self.header.ready.eq(~facts.headless)
                m.d.sync += [
                    outcome.eq(check.outcome),
                    silent.eq(facts.mute | closed),
                    request.payload.tag.eq(tag),
                    request.payload.opcode.eq(check.opcode),
                    request.payload.fua.eq(
                        (check.opcode == BlockOpcode.WRITE) & ~negotiated(self.flush)
                    ),
                    request.payload.lba.eq(self.header.payload.sector),
                    request.payload.sectors.eq(check.sectors),
                    request.payload.volume.eq(self.volume),
                ]
                m.next = "BEGIN"
                with m.If(facts.mute & ~closed):
                    m.next = "FAULT"
            with m.State("FAULT"):
                m.d.comb += [self.faults.valid.eq(1), nothing.eq(1)]
                with m.If(self.faults.ready):
                    m.next = "USED"
            with m.State("BEGIN"):
                m.d.comb += nothing.eq(1)
                m.next = "WRITE"
                with m.If(silent):
                    m.next = "USED"
                with m.Elif(outcome == Outcome.REQUEST):
                    m.d.comb += [mark_open.en.eq(1), mark_open.data.eq(1)]
                    m.d.sync += request.valid.eq(1)
                    m.next = "IDLE"
                with m.Elif(outcome == Outcome.IDENTITY):
                    m.d.sync += [identifies.eq(1), begins.eq(0), outcome.eq(Outcome.OK)]
                    m.next = "ASK"

            with m.State("WRITE"):
                m.d.comb += write.valid.eq(1)
                with m.If(write.ready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += data.valid.eq(1)
                with m.If(data.ready):
                    m.next = "USED"
                    with m.If(identifies):
                        # Behind the last byte, the status' place is asked for again.
                        m.d.sync += [number.eq(number + 1), identifies.eq(number != ID_BYTES - 1)]
                        m.next = "ASK"
            with m.State("USED"):
                m.d.comb += self.used.valid.eq(1)
                with m.If(self.used.ready):
                    m.d.comb += [free.i.valid.eq(1), mark_open.en.eq(1)]
                    m.next = "IDLE"

        # Last, where synthesis finds a reset.
        with m.If(nothing):
            m.d.sync += total.eq(0)
        # Data is counted from the first device-writable byte on, so that a status behind data
        # which was not written does not count (2.7.8.2). ``total`` is zero by now unless it does.
        m.d.comb += [
            written.eq((outcome == Outcome.OK) & facts.reads & ~silent),
            self.used.payload.length.eq(total + (written | ~(facts.reads | silent))),
        ]
        return m
