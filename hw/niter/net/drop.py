"""The end of a pipeline: rejected frames are removed, and every frame is counted."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Out

from niter.interface import Verdict

from .config import OverlayConfig
from .stage import Stage

__all__ = ["BYTES", "Count", "Drop", "counter_names"]

#: Index of an owner's byte counter; the others stand at their verdict, frames at ``PASS``.
BYTES = 31


class Count(data.Struct):
    """Add ``amount`` to the counter ``reason`` of ``owner``: a function, or the card."""

    reason: 5
    owner: 3
    amount: 14


def counter_names(functions: int) -> list[str]:
    """Names of one pipeline's counters in order: 32 for each function, and 32 for the card."""
    reasons = {verdict.value: verdict.name.lower() for verdict in Verdict}
    reasons |= {Verdict.PASS.value: "frames", BYTES: "bytes"}
    owners = [f"function{n}" for n in range(functions)] + ["card"]
    return [f"{owner}_{reasons.get(n, f'reserved{n}')}" for owner in owners for n in range(32)]


class Drop(Stage):
    """Removes frames whose verdict is not ``PASS`` and has all counted.

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

    Members
    -------
    count : Out(stream.Signature(Count))
        What is to be counted; the pipeline hands it on to the counters.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        super().__init__(ports={"count": Out(stream.Signature(Count))})

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
        event = self.count
        m.d.comb += [
            event.valid.eq(counting),
            event.payload.reason.eq(Mux(bytes_due, BYTES, reason)),
            event.payload.owner.eq(owner),
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
