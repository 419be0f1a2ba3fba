"""The end of a pipeline: rejected frames are removed, and every frame is counted."""

from amaranth import Cat, Module, Mux, Signal

from niter import csr
from niter.interface import Verdict

from .config import OverlayConfig
from .stage import Stage

__all__ = ["BYTES", "Drop", "counter_names"]

#: Index of a port's byte counter; the others stand at their verdict, frames at ``PASS``.
BYTES = 31


def counter_names(functions: int) -> list[str]:
    """Names of the counters in order: 32 for each function, and 32 for the card itself."""
    reasons = {verdict.value: verdict.name.lower() for verdict in Verdict}
    reasons |= {Verdict.PASS.value: "frames", BYTES: "bytes"}
    owners = [f"function{n}" for n in range(functions)] + ["card"]
    return [f"{owner}_{reasons.get(n, f'reserved{n}')}" for owner in owners for n in range(32)]


class Drop(Stage):
    """Removes frames whose verdict is not ``PASS`` and counts all.

    A frame that passes counts as a frame and with its bytes, at its function or, when it is of
    the underlay, at the card. A rejected one counts at its reason. An answer that the card
    made counts as ``ANSWERED``, and one that ends in ``error`` passes, for the buffer behind
    to discard, and counts as ``DAMAGED``.

    Adds no latency. Counting takes up to 12 cycles a frame beside the stream, which waits at
    the end of a frame for the counts of the one before.

    Parameters
    ----------
    config
        ``functions``.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._counters = csr.CounterBank(
            counter_names(config.functions),
            doc="Frames, bytes and drops by reason, of each function and of the card.",
        )
        super().__init__(blocks={"counters": self._counters})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        packet, meta = self.i.payload.packet, self.i.payload.meta

        # What is still to be counted of the last frame: its reason, then its bytes.
        owner = Signal(range(self.config.functions + 1))
        reason = Signal(Verdict)
        length = Signal(14)
        counting = Signal()
        bytes_due = Signal()
        event = self._counters.i
        m.d.comb += [
            event.valid.eq(counting),
            event.payload.index.eq(Cat(Mux(bytes_due, BYTES, reason), owner)),
            event.payload.amount.eq(Mux(bytes_due, length, 1)),
        ]
        with m.If(counting & event.ready):
            m.d.sync += [
                bytes_due.eq((reason == Verdict.PASS) & ~bytes_due),
                counting.eq((reason == Verdict.PASS) & ~bytes_due),
            ]

        rejected = Signal()
        flow = Signal()
        m.d.comb += [
            rejected.eq(meta.verdict != Verdict.PASS),
            flow.eq(~(packet.last & counting)),
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & flow & ~rejected),
            self.i.ready.eq((self.o.ready | rejected) & flow),
        ]
        with m.If(self.i.valid & self.i.ready & packet.last):
            m.d.sync += [
                counting.eq(1),
                bytes_due.eq(0),
                length.eq(meta.length),
                owner.eq(Mux(meta.underlay, self.config.functions, meta.function)),
                reason.eq(meta.verdict),
            ]
            with m.If(~rejected):
                with m.If(packet.error):
                    m.d.sync += reason.eq(Verdict.DAMAGED)
                with m.Elif(meta.answer):
                    m.d.sync += reason.eq(Verdict.ANSWERED)
        return m
