"""Keeps a completion where it is until its entry was posted."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.nvme.command import Completion

from .layouts import Post

__all__ = ["Finisher", "FinisherPort"]

#: How the submission queues look at completions. ``valid`` shows one, of a command of ``function``
#: and ``queue``, that has not been looked at; it stays after ``look``, until it is posted with the
#: ``partner`` and the ``head`` that it needs, or dropped.
FinisherPort = wiring.Signature(
    {
        "valid": In(1),
        "function": In(3),
        "queue": In(5),
        "look": Out(1),
        "post": Out(1),
        "drop": Out(1),
        "partner": Out(5),
        "head": Out(12),
    }
)


class Finisher(wiring.Component):
    """Takes completions of two sources, one at a time: the second's first, once it has waited for a
    cycle.

    Nothing is copied but what the submission queue adds: the completion waits on its stream.

    Members
    -------
    done : In(stream.Signature(Completion)), an array
        Accepted when the entry was posted, or dropped.
    port : In(FinisherPort)
    post : Out(stream.Signature(Post))
    """

    done: In(stream.Signature(Completion)).array(2)
    port: In(FinisherPort)
    post: Out(stream.Signature(Post))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        port, post = self.port, self.post.payload
        chosen, looking = Signal(), Signal()
        idle = ~looking & ~self.post.valid
        done = data.View(
            Completion, Mux(chosen, Cat(self.done[1].payload), Cat(self.done[0].payload))
        )
        taken = port.drop | (self.post.valid & self.post.ready)
        for number, stream_in in enumerate(self.done):
            m.d.comb += stream_in.ready.eq(taken & (chosen == number))
        m.d.comb += [
            # What was chosen is still there.
            port.valid.eq((self.done[0].valid | chosen) & idle),
            port.function.eq(done.function),
            port.queue.eq(done.queue),
            post.function.eq(done.function),
            post.queue.eq(done.queue),
            post.cid.eq(done.cid),
            post.status.eq(done.status),
            post.result.eq(done.result),
        ]
        with m.If(self.post.ready):
            m.d.sync += self.post.valid.eq(0)
        # A cycle ahead, so that nothing waits for the choice.
        with m.If(taken | (idle & ~port.look)):
            m.d.sync += chosen.eq(self.done[1].valid & ~(taken & chosen))
        with m.If(port.look):
            m.d.sync += looking.eq(1)
        with m.If(port.post | port.drop):
            m.d.sync += looking.eq(0)
        with m.If(port.post):
            m.d.sync += [
                self.post.valid.eq(1),
                post.partner.eq(port.partner),
                post.head.eq(port.head),
            ]
        return m
