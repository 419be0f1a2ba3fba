"""The way to the link: which TLP goes next, and whether the partner has room for it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream

from .choice import register_one_of
from .count import increment
from .header import TlpCommon, swap_dwords
from .layouts import Credits
from .order import Fence, WriteOrder

__all__ = ["TransmitArbiter"]

#: In the order of precedence, with the class whose credits each takes.
_SOURCES = {
    "i_completion": "completion",
    "i_message": "posted",
    "i_nonposted": "nonposted",
    "i_posted": "posted",
}


_CLASSES = ("posted", "nonposted", "completion")

#: Counters of the credits, in the order of the bits of ``infinite``.
_COUNTERS = list(Credits.as_shape().members)


class TransmitArbiter(wiring.Component):
    """Sends TLPs whole, each when its credits are there.

    Completions, messages and interrupts carry 16 bytes at most, so that one data credit will
    do, and read requests carry none; only memory writes have their length looked at.

    Completions go first, then messages and interrupts, then read requests, then memory
    writes: all but the last are few and short by their nature. One whose class lacks
    credits lets the others pass. A completion waits until the memory writes that were
    accepted before it came have left. Read requests and interrupts come here only when
    those before them have.

    A TLP takes one cycle more than its beats, which is less than its framing takes on the
    link. Credits are counted as section 2.6.1 says: the counters run modulo their width,
    and a limit may be infinite. While the link is down, all that comes is discarded, to the
    end of its TLP, and the counters are reset.
    """

    #: Memory writes.
    i_posted: In(PacketStream)
    #: Memory reads.
    i_nonposted: In(PacketStream)
    #: Completions.
    i_completion: In(PacketStream)
    #: Interrupts and messages.
    i_message: In(PacketStream)
    #: To the link. Once a TLP has begun, its beats come without a gap if its source's do.
    o: Out(PacketStream)
    #: The link is up.
    up: In(1)
    #: What the link partner has granted, and which of it has no end.
    limit: In(Credits)
    infinite: In(6)
    #: How far the writes have come.
    order: In(WriteOrder)
    #: A posted, a non-posted, a completion TLP waits for credits, and no other is being sent.
    starved: Out(3)

    def elaborate(self, platform):  # noqa: D102
        m = Module()

        names = list(_SOURCES)
        sources = [getattr(self, name) for name in names]
        heads = [TlpCommon(swap_dwords(source.payload.data[:32])) for source in sources]

        # Whether there are credits, one cycle old: what a TLP takes shows before the next is
        # weighed. No more is used than was granted, so equal counters mean that nothing is left.
        used = Signal(Credits)
        some = Signal(len(_COUNTERS))
        left = Signal.like(used.posted_data)
        for index, name in enumerate(_COUNTERS):
            m.d.sync += some[index].eq((self.limit[name] != used[name]) | self.infinite[index])
        m.d.sync += left.eq(self.limit.posted_data - used.posted_data)

        def has(name: str) -> Value:
            return some[_COUNTERS.index(name)]

        # Between TLPs those that wait are weighed; in the next cycle one of them begins.
        inside = Signal()
        begin = Signal()
        advance = Signal()
        fit = Signal(len(sources))
        turn = Signal(len(sources))
        active = Signal(len(sources))
        m.submodules.fence = fence = Fence()
        starving: list[list[Value]] = [[] for _ in _CLASSES]
        for index, (name, source) in enumerate(zip(names, sources, strict=True)):
            kind, head = _SOURCES[name], heads[index]
            data_fits = ~head.fmt[1] | has(f"{kind}_data")
            if kind == "nonposted":
                data_fits = Const(1)
            if name == "i_posted":
                infinite = self.infinite[_COUNTERS.index("posted_data")]
                enough = left[5:].any() | (_write_credits(head) <= left[:5])
                data_fits = enough | infinite
            lacks = source.valid & ~inside & ~begin & ~(has(f"{kind}_header") & data_fits)
            starving[_CLASSES.index(kind)].append(lacks)
            may = fence.open if kind == "completion" else 1
            m.d.sync += fit[index].eq(
                source.valid & has(f"{kind}_header") & data_fits & may & ~inside & ~begin
            )
        m.d.sync += self.starved.eq(Cat(Cat(each).any() for each in starving))
        m.d.comb += [
            begin.eq(fit.any() & advance & self.up),
            turn.eq(Mux(inside, active, fit & -fit)),
            fence.request.eq(self.i_completion.valid),
            fence.waiting.eq(self.order.accepted != self.order.retired),
            fence.mark.eq(self.order.accepted),
            fence.retired.eq(self.order.retired),
            fence.passed.eq(
                self.i_completion.valid & self.i_completion.ready & self.i_completion.payload.last
            ),
        ]

        # What a dropped link cut in two is discarded to its end.
        valid, last = Signal(), Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        mine = Signal(len(sources))
        severed = Signal(len(sources))
        m.d.comb += mine.eq(turn & (begin | inside).replicate(len(sources)) & ~severed)
        for index, source in enumerate(sources):
            m.d.comb += source.ready.eq(Mux(self.up, severed[index] | (mine[index] & advance), 1))
            with m.If(source.valid & source.ready & source.payload.last):
                m.d.sync += severed[index].eq(0)
            with m.Elif(~self.up & (source.valid | (inside & active[index]))):
                m.d.sync += severed[index].eq(1)
            with m.If(mine[index]):
                m.d.comb += [last.eq(source.payload.last), valid.eq(source.valid)]
        beat = register_one_of(
            m, "out", advance, ((mine[n], source.payload) for n, source in enumerate(sources))
        )
        m.d.comb += self.o.payload.eq(beat)
        with m.If(advance):
            m.d.sync += self.o.valid.eq(valid)
            with m.If(valid):
                m.d.sync += [inside.eq(~last), active.eq(turn)]

        with m.If(begin):
            for kind in _CLASSES:
                own = [index for index, name in enumerate(names) if _SOURCES[name] == kind]
                with m.If(Cat(turn[index] for index in own).any()):
                    m.d.sync += used[f"{kind}_header"].eq(increment(used[f"{kind}_header"]))
            # Read requests carry no data.
            m.d.sync += [
                used.posted_data.eq(used.posted_data + self._posted_credits(m, heads, turn)),
                used.completion_data.eq(increment(used.completion_data, turn[0] & heads[0].fmt[1])),
            ]
        with m.If(~self.up):
            m.d.sync += [self.o.valid.eq(0), inside.eq(0), fit.eq(0), used.eq(0)]
        return m

    @staticmethod
    def _posted_credits(m, heads, turn) -> Value:
        """Data credits that a posted TLP takes: a memory write's, or a message's."""
        names = list(_SOURCES)
        writes, messages = names.index("i_posted"), names.index("i_message")
        credits = Signal(5)
        with m.If(turn[writes]):
            m.d.comb += credits.eq(_write_credits(heads[writes]))
        with m.Elif(turn[messages]):
            m.d.comb += credits.eq(heads[messages].fmt[1])
        return credits


def _write_credits(head: TlpCommon) -> Value:
    """Data credits of a memory write, 1 to 16: 64 doublewords are the largest payload."""
    return increment(Cat(head.length[2:7]), head.length[:2].any())
