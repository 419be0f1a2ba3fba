"""Which event a machine that serves rows takes next."""

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike, ValueLike

__all__ = ["Choice"]


class Choice:
    """The event that waits and comes before all others, and its row: combinational.

    A machine that looks at ``waits`` takes it; ``event`` is then the one that it is at.

    Parameters
    ----------
    kind
        Enumeration of the events.

    Attributes
    ----------
    waits, chosen, function, queue
        There is one, which, and of whom.
    event
        The one taken last.
    """

    def __init__(self, kind: ShapeLike):
        self.waits = Signal()
        self.chosen, self.event = Signal(kind), Signal(kind)
        self.function, self.queue = Signal(3), Signal(5)

    def choose(self, m: Module, what: ValueLike, function: ValueLike, queue: ValueLike) -> None:
        """It is this; to be said under the condition that it is."""
        m.d.comb += [
            self.waits.eq(1),
            self.chosen.eq(what),
            self.function.eq(function),
            self.queue.eq(queue),
        ]
