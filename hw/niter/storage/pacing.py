"""Fair turns and rate limits: how the volumes share one transport."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import BlockPort, BlockRequest

from .accounts import Accounts
from .keeping import BY_REQUESTS, Keeping
from .rates import CYCLE_BITS, RateRecord
from .volumes import MAX_VOLUMES, pass_data

__all__ = ["Pacing"]


class Pacing(wiring.Component):
    """Keeps requests by volume, and lets them go on in turn and within their volume's rates.

    Every tag has a place, so a request is taken within some 60 cycles whatever the transport or
    a limit does, and a volume that has to wait holds back no other. Volumes with waiting
    requests take turns, one request each; those of one volume keep their order.

    A volume's two rates are virtual scheduling (ITU-T I.371, the generic cell rate algorithm):
    each has a time at which all that has been sent would have been sent at exactly that rate.
    A request may go while neither time is further ahead than the burst. It adds what it costs,
    so a large one is followed by a longer pause.

    An abort of a request that waits here takes it out of its list, at two cycles for each request
    ahead of it. All aborts pass, and are acknowledged by what follows.

    Parameters
    ----------
    volumes
        1 to 16, those of the stage before.
    tags
        Requests have tags below that: a power of two from 2 to 256. With up to 128, requests
        stand in one EBR, and what belongs to volumes in another.

    Members
    -------
    i : In(BlockPort)
        The front end. A request takes 7 cycles to pass when nothing waits and none has left for
        128, and is taken on the way; otherwise it takes 17, one more for each volume that could
        have its turn before, and 9 at times.
    o : Out(BlockPort)
        The next stage, or the transport.
    now : In(CYCLE_BITS)
        How many cycles have passed: one more in each, and zero behind the highest number. A
        transport counts them.
    csr : In(csr.Signature)
        The rate table.
    """

    def __init__(self, volumes: int = 16, tags: int = 256):
        if not 1 <= volumes <= MAX_VOLUMES:
            raise ValueError(f"There are 1 to 16 volumes, not {volumes!r}")
        if not 2 <= tags <= 256 or tags & (tags - 1):
            raise ValueError(f"Tags are a power of two from 2 to 256, not {tags!r}")
        self.volumes = volumes
        self.tags = tags
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
                "now": In(CYCLE_BITS),
                "csr": In(csr.Signature(addr_width=memory_map.addr_width)),
            }
        )
        self.csr.memory_map = memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        request = BlockRequest(Signal(BlockRequest))
        tag, volume, swept = Signal(range(self.tags)), Signal(4), Signal(4)
        keeping = Keeping(m, self.tags, request, tag, volume)
        accounts = Accounts(m, keeping, request, self.now)
        keeping.take(self.i.request.payload)

        connect(m, flipped(self.o.aborted), flipped(self.i.aborted))
        connect(m, flipped(self.o.completion), flipped(self.i.completion))
        pass_data(m, self.i, self.o)
        m.d.comb += [
            self.o.request.payload.eq(request),
            self.o.request.payload.tag.eq(tag),
            self.o.abort.payload.eq(tag),
        ]

        sweep, goes, aborting = Signal(), Signal(), Signal()
        # What is at the input is taken. It may go at once, if nothing waits, and nothing has left
        # for a while: with a busy transport it would be in the way of others.
        taking, new, recent = Signal(), Signal(), Signal(2)
        due = Signal()
        m.d.sync += due.eq(due | accounts.looks)
        with m.If(accounts.looks):
            m.d.sync += recent.eq(recent >> 1)

        def copy(step):
            keeping.copy(step, taking)
            if step == 2:
                m.d.comb += self.i.request.ready.eq(taking)

        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                keeping.clear()
                accounts.clear()
            with m.State("IDLE"):
                accounts.begin()
                keeping.look()
                m.d.sync += [sweep.eq(0), goes.eq(0), aborting.eq(0), taking.eq(0), new.eq(0)]
                with m.If(self.i.abort.valid):
                    m.d.comb += self.i.abort.ready.eq(1)
                    m.d.sync += [tag.eq(self.i.abort.payload), aborting.eq(1)]
                    m.next = "FIND"
                with m.Elif(self.i.request.valid):
                    arrived = self.i.request.payload
                    m.d.sync += [tag.eq(arrived.tag), volume.eq(arrived.volume), taking.eq(1)]
                    m.d.sync += new.eq(~keeping.any & (recent == 0))
                    m.next = "BURST"
                # A time that is never looked at would wrap and seem to lie ahead.
                with m.Elif(due):
                    m.d.sync += [due.eq(0), sweep.eq(1), volume.eq(swept), swept.eq(swept + 1)]
                    m.next = "BURST"
                with m.Elif(keeping.any):
                    keeping.turn()
            keeping.states_of_turns()
            keeping.states_of_joining(aborting)
            keeping.states_of_finding()
            with m.State("PASS ABORT"):
                m.d.comb += self.o.abort.valid.eq(1)
                with m.If(self.o.abort.ready):
                    m.next = "IDLE"

            accounts.states_of_looking(copy)
            with m.State("DECIDE"):
                accounts.decide()
                copy(4)
                keeping.read_ends()
                m.next = "OFFER"
                with m.If(sweep):
                    keeping.read_volume(BY_REQUESTS)
                    m.next = "PAY REQUEST"
                with m.Elif(taking & ~(new & ~accounts.early)):
                    m.next = "JOIN"
                with m.Elif(accounts.early):
                    m.next = "TIMES"
            with m.State("OFFER"):
                keeping.offered()
                m.d.comb += self.o.request.valid.eq(1)
                with m.If(self.o.request.ready):
                    m.next = "LEAVE"
            with m.State("LEAVE"):
                keeping.leave(~new)
                m.d.sync += [goes.eq(1), recent.eq(0b11)]
                keeping.go("PRICE")
            accounts.states_of_paying(goes)
        accounts.add()
        keeping.control(self.csr)
        return m
