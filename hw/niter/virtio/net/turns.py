"""Whose control command is where: one of each function at a time."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

__all__ = ["PATIENCE", "TAG_BITS", "Turns"]

#: Two of these many cycles, less up to one, is what the CPU has for an answer: a second and more.
PATIENCE = 1 << 26

#: The mailbox has at most 16 messages of a function, and the CPU one more in hand: that many
#: different tags, and what is answered late is never taken for an answer to something else.
TAG_BITS = 5


class Turns(wiring.Component):
    """Keeps of each function where its control command is, and how long it has been there.

    A command is *begun* by the engine, then it has *arrived* here, it is *sent* to the CPU if it
    is one for it, and in the end its chain is given back; no other one of the function is begun
    before. When the function's driver is gone, the mailbox is made to forget what it has of the
    function (``niter.interface.mailbox``, rules 9 and 10).

    Parameters
    ----------
    functions
        1 to 8.
    patience
        Cycles, a power of two: an answer is late when one to two times as many have passed.

    Members
    -------
    begun, dropped, arrived, sent, ended : In(1)
        This has happened in this cycle to ``begun_of``, ``dropped_of``, ``arrived_of``, and to
        ``function`` the latter two. A dropped one does not arrive.
    busy : In(1), function : In(3)
        Whose command is in hand: the mailbox is not made to forget meanwhile.
    ready : In(8)
        Functions whose driver is running.
    held : Out(8)
        No other one is to be begun.
    fresh : Out(8)
        It has arrived, and can be carried out.
    void : Out(8)
        It is to be given back: its driver is gone.
    waiting : Out(8), late : Out(8)
        It was sent; that was so long ago that no answer is expected.
    tag : Out(TAG_BITS), an array over functions
        Which of those that were sent it is.
    reset : Out(8), reset_done : In(8)
        To the mailbox, and from there.
    """

    begun: In(1)
    begun_of: In(3)
    dropped: In(1)
    dropped_of: In(3)
    arrived: In(1)
    arrived_of: In(3)
    sent: In(1)
    ended: In(1)
    busy: In(1)
    function: In(3)
    ready: In(MAX_FUNCTIONS)
    held: Out(MAX_FUNCTIONS)
    fresh: Out(MAX_FUNCTIONS)
    void: Out(MAX_FUNCTIONS)
    waiting: Out(MAX_FUNCTIONS)
    late: Out(MAX_FUNCTIONS)
    tag: Out(data.ArrayLayout(TAG_BITS, MAX_FUNCTIONS))
    reset: Out(MAX_FUNCTIONS)
    reset_done: In(MAX_FUNCTIONS)

    def __init__(self, functions: int, patience: int = PATIENCE):
        self.functions = functions
        self.patience = patience
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        time = Signal(range(self.patience))
        tick = Signal()
        m.d.sync += Cat(time, tick).eq(time + 1)
        for number in range(self.functions):
            begun, dropped, arrived = (
                happens & (whose == number)
                for happens, whose in (
                    (self.begun, self.begun_of),
                    (self.dropped, self.dropped_of),
                    (self.arrived, self.arrived_of),
                )
            )
            mine = self.function == number
            ended, sent = self.ended & mine, self.sent & mine
            here, old = Signal(name=f"here_{number}"), Signal(name=f"old_{number}")
            was_ready, forgets = Signal(name=f"ready_{number}"), Signal(name=f"forgets_{number}")
            overdue = Signal(name=f"overdue_{number}")
            held, waiting = self.held[number], self.waiting[number]
            reset, done = self.reset[number], self.reset_done[number]
            ready = self.ready[number]
            m.d.sync += [
                held.eq((held | begun) & ~ended & ~dropped),
                here.eq((here | arrived) & ~ended),
                waiting.eq((waiting | sent) & ~ended),
                old.eq(waiting & (old | tick)),
                overdue.eq(waiting & (overdue | (old & tick))),
                was_ready.eq(ready),
                forgets.eq((forgets & ~(reset & done)) | (was_ready & ~ready)),
                # Not before its message is through, and then until the mailbox has done so.
                reset.eq(Mux(reset, ~done, forgets & ~(self.busy & mine))),
            ]
            with m.If(waiting & ended):
                m.d.sync += self.tag[number].eq(self.tag[number] + 1)
            m.d.comb += [
                self.fresh[number].eq(here & ~waiting & ~forgets & ~reset & ready),
                self.void[number].eq(here & ~ready),
                self.late[number].eq(waiting & overdue),
            ]
        return m
