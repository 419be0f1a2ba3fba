"""What volumes have spent of their rates."""

from collections.abc import Callable

from amaranth import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from niter.compare import less
from niter.interface import BlockOpcode

from .keeping import BY_REQUESTS, BY_SECTORS, Keeping
from .rates import CYCLE_BITS, RateRecord

__all__ = ["Accounts"]

#: A volume's times are to be looked at every 2 to the so many cycles, one volume after the other.
_LOOK_BITS = 6


class Accounts:
    """The times of the volume in hand: whether it is ahead of its rates, and what it pays.

    Each rate has a time until which all that was sent is paid for. ``BURST`` begins to look at
    both, and goes on to ``DECIDE``, where ``early`` is known: the volume is further ahead than it
    may be. ``PRICE`` makes it pay for the request in hand if it ``goes``, and goes on to ``IDLE``,
    as does ``TIMES``, which only brings the times up to now, and ``PAY REQUEST``, which does that
    with the first time already there.

    Parameters
    ----------
    m
        The stage's module.
    keeping
        Where times and rates stand.
    request
        What is in hand.
    now
        The cycles that have passed.
    """

    def __init__(self, m: Module, keeping: Keeping, request: data.View, now: Value):
        self._m = m
        self._keeping = keeping
        self._request = request
        self._now, self._began = now, Signal(CYCLE_BITS)
        #: Once in a while.
        self.looks = Signal()
        m.d.comb += self.looks.eq(self._now[:_LOOK_BITS] == 0)
        self._lead = Signal(CYCLE_BITS)
        m.d.comb += keeping.time.eq(self._lead)
        self._burst, self._each = Signal(32), Signal(16)
        # What the request costs, and then its sectors; one of them is nothing.
        self._cost, self._product = Signal(32), Signal(32)
        self._ahead, self._early = Signal(), Signal()
        #: In ``DECIDE``.
        self.early = Signal()
        m.d.comb += [
            self._ahead.eq(~self._lead[-1] & less(self._burst, self._lead)),
            self.early.eq(self._early | self._ahead),
        ]
        # Of either time: it has passed.
        self._past_request, self._past_sector = Signal(), Signal()
        self._pays, self._past, self._writes = Signal(), Signal(), Signal()
        # In this cycle what is to be paid becomes nothing, of the one and of the other.
        self._paid, self._gratis = Signal(), Signal()
        self._clears = Signal()

    def clear(self) -> None:
        """Nothing is spent of anything, and what is written says so."""
        self._m.d.comb += self._clears.eq(1)

    def begin(self) -> None:
        """Now is when the next look begins."""
        self._m.d.sync += self._began.eq(self._now)

    def states_of_looking(self, beside: Callable[[int], None]) -> None:
        """From ``BURST`` to in front of ``DECIDE``; ``beside`` does what else is to be done in each
        of the four."""
        m, keeping = self._m, self._keeping
        with m.State("BURST"):
            keeping.read_volume(RateRecord.BURST)
            beside(0)
            m.next = "REQUESTS"
        with m.State("REQUESTS"):
            keeping.read_volume(BY_REQUESTS)
            m.d.sync += self._burst.eq(keeping.word)
            beside(1)
            m.next = "SECTORS"
        with m.State("SECTORS"):
            keeping.read_volume(BY_SECTORS)
            beside(2)
            m.next = "COMPARE"
        with m.State("COMPARE"):
            m.d.sync += [self._early.eq(self._ahead), self._past_request.eq(self._lead[-1])]
            beside(3)
            m.next = "DECIDE"

    def decide(self) -> None:
        """In ``DECIDE``: remember what is known of the second time, and begin with no costs."""
        m = self._m
        m.d.comb += [self._paid.eq(1), self._gratis.eq(1)]
        m.d.sync += self._past_sector.eq(self._lead[-1])

    def states_of_paying(self, goes: Value) -> None:
        """From ``PRICE`` or ``TIMES`` on."""
        m, keeping, request = self._m, self._keeping, self._request
        moves = (request.opcode == BlockOpcode.READ) | (request.opcode == BlockOpcode.WRITE)
        with m.State("PRICE"):
            keeping.read_volume(RateRecord.SECTOR)
            m.next = "EACH"
        with m.State("EACH"):
            keeping.read_volume(RateRecord.REQUEST)
            m.d.sync += self._each.eq(keeping.word)
            m.next = "COST"
        with m.State("COST"):
            m.d.sync += self._cost.eq(keeping.word)
            m.next = "TIMES"
        with m.State("TIMES"):
            keeping.read_volume(BY_REQUESTS)
            m.next = "PAY REQUEST"
        with m.State("PAY REQUEST"):
            keeping.read_volume(BY_SECTORS)
            m.d.comb += [
                self._pays.eq(1),
                self._past.eq(self._past_request),
                self._paid.eq(1),
                self._gratis.eq(~(goes & moves)),
            ]
            m.d.sync += self._product.eq(self._each * request.sectors)
            m.next = "PAY SECTORS"
        with m.State("PAY SECTORS"):
            keeping.read_volume(BY_SECTORS)
            keeping.write_volume(BY_REQUESTS)
            m.d.comb += [
                self._pays.eq(1),
                self._past.eq(self._past_sector),
                self._writes.eq(1),
            ]
            keeping.go("PAID")
        with m.State("PAID"):
            keeping.write_volume(BY_SECTORS)
            m.d.comb += self._writes.eq(1)
            keeping.go("IDLE")

    def add(self) -> None:
        """The last statements: one adder says how far a time is ahead of when the look began, and
        what becomes of it: the later of both, and the cost."""
        m, time = self._m, self._keeping.word[:CYCLE_BITS]
        addend = Mux(self._pays, self._cost | self._product, ~self._began)[:CYCLE_BITS]
        total = Cat(C(1, 1), Mux(self._past, self._began, time)) + Cat(~self._pays, addend)
        # It is written in the next cycle, or later.
        with m.If(~(self._writes & self._keeping.busy)):
            m.d.sync += self._lead.eq(total[1:])
        with m.If(self._clears):
            m.d.sync += self._lead.eq(0)
        with m.If(self._paid):
            m.d.sync += self._cost.eq(0)
        with m.If(self._gratis):
            m.d.sync += self._product.eq(0)
