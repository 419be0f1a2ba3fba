"""What the firmware is still to be told of each function."""

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS

from .messages import Events

__all__ = ["EVENTS", "NoticePort", "Notices"]

#: How events are taken: ``any`` shows which functions have some, ``events`` those of the selected
#: one, and ``take`` says that they are being told.
NoticePort = wiring.Signature(
    {"any": In(MAX_FUNCTIONS), "select": Out(3), "events": In(Events), "take": Out(1)}
)

#: The events by name.
EVENTS = ("stopped", "started", "shutdown", "invalid_register", "invalid_value", "fatal")


class Notices(wiring.Component):
    """Collects events until a message takes all of a function with it.

    Parameters
    ----------
    functions
        How many.

    Members
    -------
    stopped, started, shutdown, invalid_register, invalid_value, fatal : In(8)
        Pulses; see ``Events``. ``stopped`` forgets what was before it.
    port : In(NoticePort)
    """

    def __init__(self, functions: int):
        self.functions = functions
        super().__init__({name: In(MAX_FUNCTIONS) for name in EVENTS} | {"port": In(NoticePort)})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        kept = Array(Signal(len(EVENTS), name=f"kept_{f}") for f in range(self.functions))
        for f, events in enumerate(kept):
            news = Cat(getattr(self, name)[f] for name in EVENTS)
            taken = self.port.take & (self.port.select == f)
            m.d.comb += self.port.any[f].eq(events.any())
            m.d.sync += events.eq(events & ~taken.replicate(len(EVENTS)) | news)
            with m.If(self.stopped[f]):
                m.d.sync += events.eq(news)
        m.d.comb += self.port.events.eq(kept[self.port.select])
        return m
