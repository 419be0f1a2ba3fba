"""Fair turns and rate limits: how the volumes share one transport."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.compare import less
from niter.interface import BlockOpcode, BlockPort, BlockRequest
from niter.ram import Ram
from niter.stream import Arbiter

from .rates import RateRecord
from .volumes import MAX_VOLUMES, pass_data

__all__ = ["Pacing"]

#: Bits of a time in cycles: what an EBR's word holds, and twice the longest debt.
_TIME_BITS = 36

#: A volume's times are looked at every 2 to the so many cycles, one volume after the other.
_LOOK_BITS = 6


class Pacing(wiring.Component):
    """Keeps requests by volume, and lets them go on in turn and within their volume's rates.

    Every tag has a place, so a request is taken within some 60 cycles whatever the transport or
    a limit does, and a volume that has to wait holds back no other. Volumes with waiting
    requests take turns, one request each; those of one volume keep their order.

    A volume's two rates are virtual scheduling (ITU-T I.371, the generic cell rate algorithm):
    each has a time at which all that has been sent would have been sent at exactly that rate.
    A request may go while neither time is further ahead than the burst. It adds what it costs,
    so a large one is followed by a longer pause.

    An abort of a request that waits here takes it out of its list, at three cycles for each
    request ahead of it, and is acknowledged here; any other passes.

    Parameters
    ----------
    volumes
        1 to 16, those of the stage before.

    Members
    -------
    i : In(BlockPort)
        The front end. A request takes 7 cycles to pass when nothing waits and none has left for
        128, otherwise 16, one more for each volume that could have its turn before, and 9 at times.
    o : Out(BlockPort)
        The next stage, or the transport.
    csr : In(csr.Signature)
        The rate table.
    """

    # Words beside a waiting request: two of its own, and the tag of the one behind it.
    _LBA, _REST, _SECTORS, _NEXT = range(4)
    # Words beside a volume: its two times, and the ends of its list.
    _BY_REQUESTS, _BY_SECTORS, _HEAD, _TAIL = range(4)

    def __init__(self, volumes: int = 16):
        if not 1 <= volumes <= MAX_VOLUMES:
            raise ValueError(f"There are 1 to 16 volumes, not {volumes!r}")
        self.volumes = volumes
        words = RateRecord.STRIDE << ceil_log2(volumes)
        memory_map = csr.MemoryMap(addr_width=ceil_log2(words))
        memory_map.add_resource(
            csr.WordArray(words, "Rate table: a record of words for each volume."),
            name="words",
            size=words,
        )
        super().__init__(
            {
                "i": In(BlockPort),
                "o": Out(BlockPort),
                "csr": In(csr.Signature(addr_width=memory_map.addr_width)),
            }
        )
        self.csr.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.rates = rates = Ram(shape=32, depth=1 << self.csr.addr_width, init=[])
        m.submodules.states = states = Ram(shape=_TIME_BITS, depth=64, init=[])
        m.submodules.requests = requests = Ram(shape=32, depth=1024, init=[])
        rate, set_rate = rates.read_port(), rates.write_port()
        state, set_state = states.read_port(), states.write_port()
        kept, keep = requests.read_port(), requests.write_port()
        m.d.comb += [
            set_rate.addr.eq(self.csr.addr),
            set_rate.data.eq(self.csr.w_data),
            set_rate.en.eq(self.csr.w_stb),
        ]
        request = Signal(BlockRequest)
        volume, served, swept = Signal(4), Signal(4), Signal(4)
        waiting = Signal(1 << 4)
        following = Signal(4)
        m.d.comb += following.eq(served + 1)
        # A walk along a list: the tag in hand, the one before it, and whether there is none.
        tag, before, first = Signal(8), Signal(8), Signal()

        m.submodules.acknowledgements = acknowledgements = Arbiter(8, 2, packet=False)
        own, passing = acknowledgements.i
        connect(m, flipped(self.o.aborted), passing)
        connect(m, acknowledgements.o, flipped(self.i.aborted))
        connect(m, flipped(self.o.completion), flipped(self.i.completion))
        pass_data(m, self.i, self.o)

        def of_request(port, which, word):
            return port.addr.eq(Cat(C(word, 2), which))

        def of_volume(port, word):
            return port.addr.eq(Cat(C(word, 2), volume))

        rest = Cat(request.lba[32:], request.opcode, request.fua, request.volume)
        m.d.comb += [
            self.o.request.payload.eq(request),
            self.o.abort.payload.eq(request.tag),
            own.payload.eq(request.tag),
        ]

        # How far ahead of ``then`` a volume is by each rate, and what is added to that.
        now, then = Signal(_TIME_BITS), Signal(_TIME_BITS)
        # One adder makes either; what it makes is looked at in the next cycle.
        lead, term, added, adds = Signal(_TIME_BITS), Signal(_TIME_BITS), Signal(32), Signal()
        by_requests, by_sectors = Signal(_TIME_BITS), Signal(_TIME_BITS)
        burst, each, cost = Signal(32), Signal(16), Signal(32)
        early, sweep, go = Signal(), Signal(), Signal()
        # The request in hand has not been kept: nothing waits, and nothing has left for a while,
        # so it goes at once if it may. With a busy transport it would be in the way of others.
        new, recent = Signal(), Signal(2)
        due = Signal()
        in_time = Mux(lead[-1], 0, lead)
        m.d.comb += term.eq(state.data)
        total = Cat(C(1, 1), term) + Cat(~adds, Mux(adds, added, ~then))
        m.d.sync += lead.eq(total[1:])
        look = now[:_LOOK_BITS] == 0
        m.d.sync += [now.eq(now + 1), due.eq(due | look)]
        with m.If(look):
            m.d.sync += recent.eq(recent >> 1)

        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                # After a reset time begins again, and what stood here would lie ahead of it.
                m.d.comb += [set_state.addr.eq(tag), set_state.en.eq(1)]
                m.d.sync += tag.eq(tag + 1)
                with m.If(tag == states.depth - 1):
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.sync += [first.eq(1), early.eq(0), then.eq(now), go.eq(0)]
                with m.If(self.i.abort.valid):
                    m.d.comb += self.i.abort.ready.eq(1)
                    m.d.sync += request.tag.eq(self.i.abort.payload)
                    m.next = "FIND"
                with m.Elif(self.i.request.valid):
                    m.d.comb += self.i.request.ready.eq(1)
                    m.d.sync += request.eq(self.i.request.payload)
                    m.d.sync += volume.eq(self.i.request.payload.volume)
                    m.next = "KEEP LBA"
                    with m.If(~waiting.any() & (recent == 0)):
                        m.d.sync += [new.eq(1), sweep.eq(0)]
                        m.next = "REQUESTS"
                # A time that is never looked at would wrap and seem to lie ahead.
                with m.Elif(due):
                    m.d.sync += [due.eq(0), sweep.eq(1), volume.eq(swept), swept.eq(swept + 1)]
                    m.next = "REQUESTS"
                with m.Elif(waiting.any()):
                    m.d.sync += [sweep.eq(0), volume.eq(following), served.eq(following)]
                    with m.If(waiting.bit_select(following, 1)):
                        m.next = "REQUESTS"

            with m.State("KEEP LBA"):
                m.d.comb += [of_request(keep, request.tag, self._LBA), keep.en.eq(1)]
                m.d.comb += [keep.data.eq(request.lba), of_volume(state, self._TAIL)]
                m.next = "KEEP REST"
            with m.State("KEEP REST"):
                m.d.comb += [of_request(keep, request.tag, self._REST), keep.en.eq(1)]
                m.d.comb += keep.data.eq(rest)
                m.d.sync += before.eq(state.data)
                m.next = "KEEP SECTORS"
            with m.State("KEEP SECTORS"):
                m.d.comb += [of_request(keep, request.tag, self._SECTORS), keep.en.eq(1)]
                m.d.comb += keep.data.eq(request.sectors)
                m.d.comb += [of_volume(set_state, self._TAIL), set_state.en.eq(1)]
                m.d.comb += set_state.data.eq(request.tag)
                m.next = "LINK"
            with m.State("LINK"):
                behind = waiting.bit_select(volume, 1)
                m.d.comb += [of_request(keep, before, self._NEXT), keep.en.eq(behind)]
                m.d.comb += [of_volume(set_state, self._HEAD), set_state.en.eq(~behind)]
                m.d.comb += [keep.data.eq(request.tag), set_state.data.eq(request.tag)]
                m.d.sync += [waiting.bit_select(volume, 1).eq(1), new.eq(0)]
                m.next = "IDLE"

            with m.State("FIND"):
                # Of a tag that does not wait here this is what stood there once: a volume still.
                m.d.comb += of_request(kept, request.tag, self._REST)
                m.next = "FIND VOLUME"
            with m.State("FIND VOLUME"):
                m.d.sync += volume.eq(kept.data[28:])
                m.next = "FIND HEAD"
            with m.State("FIND HEAD"):
                m.d.comb += of_volume(state, self._HEAD)
                m.next = "SEEK FIRST"
            with m.State("SEEK FIRST"):
                m.d.sync += tag.eq(state.data)
                m.next = "SEEK"
                with m.If(~waiting.bit_select(volume, 1)):
                    m.next = "PASS ABORT"
            with m.State("SEEK"):
                m.d.comb += [of_volume(state, self._TAIL), of_request(kept, tag, self._NEXT)]
                m.next = "SEEK NEXT"
                with m.If(tag == request.tag):
                    m.next = "UNLINK"
            with m.State("SEEK NEXT"):
                m.d.sync += [before.eq(tag), tag.eq(kept.data), first.eq(0)]
                m.next = "SEEK"
                with m.If(state.data[:8] == tag):
                    m.next = "PASS ABORT"
            with m.State("UNLINK"):
                last = state.data[:8] == tag
                m.d.comb += of_volume(set_state, self._TAIL)
                with m.If(first):
                    m.d.comb += of_volume(set_state, self._HEAD)
                m.d.comb += [
                    set_state.en.eq(first ^ last),
                    set_state.data.eq(Mux(first, kept.data, before)),
                    of_request(keep, before, self._NEXT),
                    keep.en.eq(~first & ~last),
                    keep.data.eq(kept.data),
                ]
                with m.If(first & last):
                    m.d.sync += waiting.bit_select(volume, 1).eq(0)
                m.next = "ACKNOWLEDGE"
            with m.State("ACKNOWLEDGE"):
                m.d.comb += own.valid.eq(1)
                with m.If(own.ready):
                    m.next = "IDLE"
            with m.State("PASS ABORT"):
                m.d.comb += self.o.abort.valid.eq(1)
                with m.If(self.o.abort.ready):
                    m.next = "IDLE"

            with m.State("REQUESTS"):
                m.d.comb += [of_volume(state, self._BY_REQUESTS), of_volume(rate, RateRecord.BURST)]
                m.next = "SECTORS"
            with m.State("SECTORS"):
                m.d.comb += of_volume(state, self._BY_SECTORS)
                m.d.sync += burst.eq(rate.data)
                m.next = "COSTS"
            with m.State("COSTS"):
                m.d.comb += of_volume(rate, RateRecord.REQUEST)
                m.d.sync += by_requests.eq(in_time)
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.comb += of_volume(rate, RateRecord.SECTOR)
                m.d.sync += [by_sectors.eq(in_time), cost.eq(rate.data)]
                m.d.sync += early.eq(less(burst, by_requests))
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += of_volume(state, self._HEAD)
                m.d.sync += each.eq(rate.data)
                m.next = "SPEND"
                may_go = ~early & ~less(burst, by_sectors)
                with m.If(new):
                    m.d.sync += go.eq(may_go)
                    m.next = "KEEP LBA"
                    with m.If(may_go):
                        m.next = "OFFER"
                with m.Elif(~sweep & waiting.bit_select(volume, 1) & may_go):
                    m.d.sync += go.eq(1)
                    m.next = "HEAD"

            with m.State("HEAD"):
                m.d.sync += request.tag.eq(state.data)
                m.next = "LBA"
            with m.State("LBA"):
                m.d.comb += of_request(kept, request.tag, self._LBA)
                m.next = "REST"
            with m.State("REST"):
                m.d.comb += of_request(kept, request.tag, self._REST)
                m.d.sync += request.lba[:32].eq(kept.data)
                m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += of_request(kept, request.tag, self._SECTORS)
                m.d.sync += rest.eq(kept.data)
                m.next = "LINKS"
            with m.State("LINKS"):
                m.d.sync += request.sectors.eq(kept.data)
                m.d.comb += of_request(kept, request.tag, self._NEXT)
                m.d.comb += of_volume(state, self._TAIL)
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += of_request(kept, request.tag, self._NEXT)
                m.d.comb += of_volume(state, self._TAIL)
                m.d.comb += self.o.request.valid.eq(1)
                with m.If(self.o.request.ready):
                    last = state.data[:8] == request.tag
                    m.d.comb += [of_volume(set_state, self._HEAD), set_state.data.eq(kept.data)]
                    m.d.comb += set_state.en.eq(~last & ~new)
                    m.d.sync += [new.eq(0), recent.eq(0b11)]
                    with m.If(last & ~new):
                        m.d.sync += waiting.bit_select(volume, 1).eq(0)
                    m.next = "SPEND"

            with m.State("SPEND"):
                moves = (request.opcode == BlockOpcode.READ) | (request.opcode == BlockOpcode.WRITE)
                m.d.comb += [term.eq(by_requests), added.eq(cost & go.replicate(32)), adds.eq(1)]
                m.d.sync += cost.eq(each * (request.sectors & (go & moves).replicate(16)))
                m.next = "SPEND REQUEST"
            with m.State("SPEND REQUEST"):
                m.d.comb += [of_volume(set_state, self._BY_REQUESTS), set_state.en.eq(1)]
                m.d.comb += set_state.data.eq(then + lead)
                m.d.comb += [term.eq(by_sectors), added.eq(cost), adds.eq(1)]
                m.next = "SPEND SECTORS"
            with m.State("SPEND SECTORS"):
                m.d.comb += [of_volume(set_state, self._BY_SECTORS), set_state.en.eq(1)]
                m.d.comb += set_state.data.eq(then + lead)
                m.next = "IDLE"
        return m
