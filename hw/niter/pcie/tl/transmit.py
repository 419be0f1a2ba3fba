"""The way to the link: which TLP goes next, and whether the partner has room for it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat, PacketStream

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

    def elaborate(self, platform):  # noqa: D102
        m = Module()

        names = list(_SOURCES)
        sources = [getattr(self, name) for name in names]

        # Credits left, one cycle old: a TLP's consumption shows before the next is weighed.
        used = Signal(Credits)
        left = Signal(Credits)
        endless = Signal(6)
        m.d.sync += endless.eq(self.infinite)
        for name in _COUNTERS:
            m.d.sync += left[name].eq(self.limit[name] - used[name])

        # Between TLPs those that wait are weighed; in the next cycle one of them begins.
        inside = Signal()
        begin = Signal()
        advance = Signal()
        fit = Signal(len(sources))
        chosen = Signal(range(len(sources)))
        active = Signal.like(chosen)
        turn = Signal.like(chosen)
        m.submodules.fence = fence = Fence()
        for index, (name, source) in enumerate(zip(names, sources, strict=True)):
            kind = _SOURCES[name]
            common = TlpCommon(swap_dwords(source.payload.data[:32]))
            header_fits = (left[f"{kind}_header"] != 0) | endless[_COUNTERS.index(f"{kind}_header")]
            room = left[f"{kind}_data"]
            data_fits = (
                ~common.fmt[1]
                | (common.length <= (room << 2) if name == "i_posted" else room != 0)
                | endless[_COUNTERS.index(f"{kind}_data")]
            )
            may = fence.open if kind == "completion" else 1
            m.d.sync += fit[index].eq(
                source.valid & header_fits & data_fits & may & ~inside & ~begin
            )
        for index in reversed(range(len(sources))):
            with m.If(fit[index]):
                m.d.comb += chosen.eq(index)
        m.d.comb += [
            begin.eq(fit.any() & advance & self.up),
            turn.eq(Mux(inside, active, chosen)),
            fence.request.eq(self.i_completion.valid),
            fence.waiting.eq(self.order.accepted != self.order.retired),
            fence.mark.eq(self.order.accepted),
            fence.retired.eq(self.order.retired),
            fence.passed.eq(
                self.i_completion.valid & self.i_completion.ready & self.i_completion.payload.last
            ),
        ]

        # One source at a time reaches the output register. What a dropped link cut in two
        # is discarded to its end.
        beat = Signal(Beat)
        valid = Signal()
        for index, source in enumerate(sources):
            severed = Signal(name=f"severed_{index}")
            mine = Signal(name=f"mine_{index}")
            m.d.comb += [
                mine.eq((turn == index) & (begin | inside)),
                source.ready.eq(Mux(self.up, severed | (mine & advance), 1)),
            ]
            with m.If(source.valid & source.ready & source.payload.last):
                m.d.sync += severed.eq(0)
            with m.Elif(~self.up & source.valid):
                m.d.sync += severed.eq(1)
            with m.Elif(~self.up & inside & (active == index)):
                m.d.sync += severed.eq(1)
            with m.If(mine):
                m.d.comb += [beat.eq(source.payload), valid.eq(source.valid & ~severed)]
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), self.o.payload.eq(beat)]
            with m.If(valid):
                m.d.sync += [inside.eq(~beat.last), active.eq(turn)]

        with m.If(begin):
            common = TlpCommon(swap_dwords(beat.data[:32]))
            for kind in ("posted", "nonposted", "completion"):
                mine = [index for index, name in enumerate(names) if _SOURCES[name] == kind]
                with m.If(Cat(turn == index for index in mine).any()):
                    m.d.sync += used[f"{kind}_header"].eq(used[f"{kind}_header"] + 1)
                    if kind != "nonposted":
                        blocks = common.length[2:] + common.length[:2].any()
                        blocks = blocks if kind == "posted" else 1
                        with m.If(common.fmt[1]):
                            m.d.sync += used[f"{kind}_data"].eq(used[f"{kind}_data"] + blocks)
        with m.If(~self.up):
            m.d.sync += [self.o.valid.eq(0), inside.eq(0), fit.eq(0), used.eq(0)]
        return m
