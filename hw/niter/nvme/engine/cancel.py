"""Stops commands: goes through the tags, and through the aborts of those it finds."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.nvme.command import Cancel, Cancelled

from .layouts import TAG_BITS, State

__all__ = ["Canceller"]


class Canceller(wiring.Component):
    """Keeps the place of a cancel; the control machine shows it each tag's state in turn.

    A command that has a request is aborted there, and its tag is released when that was
    acknowledged and its data has stopped.

    Parameters
    ----------
    tags
        How many there are.

    Members
    -------
    cancel : In(stream.Signature(Cancel))
        What to stop; taken while no entry is ``begun``.
    cancelled : Out(stream.Signature(Cancelled))
        That this was done.
    abort : Out(stream.Signature(8))
        Of the block port.
    aborted : In(stream.Signature(8))
        Of the block port; taken while ``calm``.
    begun : In(1)
        An entry was begun that has no tag yet.
    calm : In(1)
        No completion waits, so the acknowledgement is not ahead of one.
    active : Out(1)
        A cancel is under way.
    scans : Out(1)
        The state of ``tag`` is to be looked at.
    aborting : Out(1)
        The request of ``tag`` is being aborted; a completion of it does not count.
    stopped : Out(1)
        That was acknowledged, and the tag is to be released.
    tag : Out(TAG_BITS)
        Whose turn it is.
    state : In(State)
        What that tag does.
    match : Out(1)
        It is to be stopped.
    kill : In(1)
        Abort the request of ``tag``.
    found : In(1)
        It was stopped.
    following : In(1)
        Go on to the next tag.
    """

    cancel: In(stream.Signature(Cancel))
    cancelled: Out(stream.Signature(Cancelled))
    abort: Out(stream.Signature(8))
    aborted: In(stream.Signature(8))
    begun: In(1)
    calm: In(1)
    active: Out(1)
    scans: Out(1)
    aborting: Out(1)
    stopped: Out(1)
    tag: Out(TAG_BITS)
    state: In(State)
    match: Out(1)
    kill: In(1)
    found: In(1)
    following: In(1)

    def __init__(self, tags: int):
        self.tags = tags
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        wanted = Signal(Cancel)
        ident = self.state.ident
        queue = ident.queue == wanted.queue
        m.d.comb += [
            self.cancel.ready.eq(~self.active & ~self.begun),
            self.abort.payload.eq(self.tag),
            self.aborted.ready.eq(self.aborting & self.calm),
            self.scans.eq(self.active & ~self.aborting & ~self.stopped & ~self.cancelled.valid),
            self.match.eq(
                self.state.busy
                & (ident.function == wanted.function)
                & ((wanted.queue == 0) | (queue & (wanted.every | (ident.cid == wanted.cid))))
            ),
        ]
        with m.If(self.cancel.valid & self.cancel.ready):
            m.d.sync += [
                wanted.eq(self.cancel.payload),
                self.active.eq(1),
                self.tag.eq(0),
                self.cancelled.payload.found.eq(0),
            ]
        with m.If(self.kill):
            m.d.sync += [self.abort.valid.eq(1), self.aborting.eq(1)]
        with m.Elif(self.abort.ready):
            m.d.sync += self.abort.valid.eq(0)
        with m.If(self.aborted.valid & self.aborted.ready):
            m.d.sync += [self.aborting.eq(0), self.stopped.eq(1)]
        with m.If(self.found):
            m.d.sync += self.cancelled.payload.found.eq(1)
        with m.If(self.following):
            m.d.sync += [self.tag.eq(self.tag + 1), self.stopped.eq(0)]
            with m.If(self.tag == self.tags - 1):
                m.d.sync += self.cancelled.valid.eq(1)
        with m.If(self.cancelled.valid & self.cancelled.ready):
            m.d.sync += [self.cancelled.valid.eq(0), self.active.eq(0)]
        return m
