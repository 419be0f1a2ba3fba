"""The table of data segments: where a request's bytes stand in host memory."""

from amaranth import C, Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from niter.stream import Ram

from .layouts import DATA_BITS, FACTS_INDEX, Facts, PlacePort, Segment, StoreEntry

__all__ = ["Places"]

#: Who asks: control first, since it asks seldom, then who moves data.
ASKERS = 3


class Places(wiring.Component):
    """Keeps segments and facts of all requests, and finds bytes among them.

    A request has 16 entries in one RAM, in the order of its data. The one that holds a byte is
    looked for from the first on, an entry a cycle: a question takes 6 cycles, and one more for
    each segment before the one that it is about. Behind all data stands the status: that is the
    answer for a byte that no segment holds.

    Parameters
    ----------
    tags
        Requests, a power of two up to 64.

    Members
    -------
    store : In(StoreEntry), store_valid : In(1)
        An entry to keep. Those of a tag are not asked for before all have come.
    ask : array of In(PlacePort)
        Questions; the lower index goes first.
    """

    def __init__(self, tags: int):
        self.tags = tags
        super().__init__(
            {
                "store": In(StoreEntry),
                "store_valid": In(1),
                "ask": In(PlacePort).array(ASKERS),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        tag_bits = ceil_log2(self.tags)
        m.submodules.table = table = Ram(
            shape=self.store.content.shape(), depth=self.tags << 4, init=[]
        )
        write, read = table.write_port(), table.read_port()
        m.d.comb += [
            write.addr.eq(Cat(self.store.index, self.store.tag[:tag_bits])),
            write.data.eq(self.store.content),
            write.en.eq(self.store_valid),
        ]

        turn, winner = Signal(ASKERS), Signal(ASKERS)
        chosen = Signal.like(self.ask[0].request.payload)
        for number, ask in reversed(list(enumerate(self.ask))):
            with m.If(ask.request.valid):
                m.d.comb += [winner.eq(1 << number), chosen.eq(ask.request.payload)]

        tag, byte = Signal(tag_bits), Signal(DATA_BITS)
        facts = Facts(read.data)
        segment = Signal(Segment)
        # Which entry is on its way, and how many have to be looked at.
        index, count = Signal(4), Signal(4)
        start, into = Signal(DATA_BITS), Signal(DATA_BITS)
        # With a sign: behind its end, it is not the one.
        rest, left = Signal(signed(DATA_BITS + 2)), Signal(DATA_BITS + 1)
        base, address = Signal(64), Signal(64)
        shown = Signal(13)
        function = Signal(3)
        beyond, known, done = Signal(), Signal(), Signal()
        m.d.comb += [read.addr.eq(Cat(index, tag)), rest.eq(segment.end - byte)]
        m.d.sync += [
            segment.eq(read.data),
            base.eq(segment.address),
            into.eq(byte - start),
            left.eq(rest),
        ]
        with m.FSM() as machine:
            with m.State("IDLE"):
                m.d.sync += [
                    turn.eq(winner),
                    tag.eq(chosen.tag),
                    byte.eq(chosen.byte),
                    beyond.eq(chosen.beyond),
                    index.eq(0),
                ]
                m.d.comb += read.addr.eq(Cat(C(FACTS_INDEX, 4), chosen.tag[:tag_bits]))
                m.d.comb += [ask.request.ready.eq(winner[n]) for n, ask in enumerate(self.ask)]
                with m.If(winner.any()):
                    m.next = "FACTS"
            with m.State("FACTS"):
                m.d.comb += known.eq(1)
                m.d.sync += [
                    # With too much data there is nothing to find but the status.
                    count.eq(Mux(facts.excess, 0, facts.count)),
                    function.eq(facts.queue.function),
                    index.eq(1),
                ]
                m.next = "FILL"
            with m.State("FILL"):
                # A cycle later the facts' own address is what a segment's will be.
                m.d.sync += [index.eq(2), into.eq(0)]
                m.next = "SCAN"
                with m.If(count == 0):
                    m.next = "SUM"
            with m.State("SCAN"):
                m.d.sync += [index.eq(index + 1), count.eq(count - 1)]
                with m.If(index == 2):
                    m.d.sync += address.eq(base + into)
                with m.If(~rest[-1] & rest.any() & ~beyond):
                    m.next = "SUM"
                with m.Else():
                    m.d.sync += start.eq(segment.end)
                    with m.If(count == 1):
                        m.next = "DONE"
            with m.State("SUM"):
                m.d.sync += [address.eq(base + into), shown.eq(left[:13])]
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += done.eq(1)
                m.next = "IDLE"
        # Last, where synthesis finds resets.
        with m.If(machine.ongoing("IDLE")):
            m.d.sync += start.eq(0)
        with m.If(machine.ongoing("SUM") & left[13:].any()):
            m.d.sync += shown.eq(0x1FFF)
        for number, ask in enumerate(self.ask):
            m.d.comb += [
                ask.facts.eq(facts),
                ask.known.eq(known & turn[number]),
                ask.done.eq(done & turn[number]),
                ask.address.eq(address),
                ask.left.eq(shown),
                ask.total.eq(start),
                ask.function.eq(function),
            ]
        return m
