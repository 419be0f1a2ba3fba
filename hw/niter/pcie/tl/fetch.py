"""Takes non-posted requests from their queue."""

from amaranth.hdl import Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .header import RequestHead, swap_dwords
from .requests import Entry, Target

__all__ = ["NonpostedRequest", "RequestFetcher"]


class NonpostedRequest(data.Struct):
    """A request as it came, and what the receiver knew of it.

    Members
    -------
    head : RequestHead
        Its first two doublewords.
    target : Target
        What its address hit.
    address : 32 bits
        Address below 4 GiB, or third doubleword.
    payload : 32 bits
        The first doubleword of data, if there is any, in the order of bytes on the link.
    number : 6 bits
        Of the posted request that it follows.
    """

    head: RequestHead
    target: Target
    address: 32
    payload: 32
    number: 6


class RequestFetcher(wiring.Component):
    """Two entries become a request, in three cycles.

    Members
    -------
    available : In(1)
        The queue has an entry.
    want : Out(1), grant : In(1)
        The two entries of a request are to be read, and may be: in the cycle of ``grant`` and
        the next one.
    read : Out(1), entry : In(Entry)
        From the queue.
    done : Out(1), data_credits : Out(2)
        Strobe: a request has left the queue, and its data credits.
    o : Out(stream of NonpostedRequest)
        The request.
    """

    available: In(1)
    want: Out(1)
    grant: In(1)
    read: Out(1)
    entry: In(Entry)
    done: Out(1)
    data_credits: Out(2)
    o: Out(stream.Signature(NonpostedRequest))

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        request = self.o.payload
        common = request.head.common
        with m.FSM():
            with m.State("EMPTY"):
                m.d.comb += [self.want.eq(self.available), self.read.eq(self.grant)]
                with m.If(self.grant):
                    m.next = "FIRST"
            with m.State("FIRST"):
                m.d.comb += self.read.eq(1)
                m.d.sync += [
                    request.head.eq(swap_dwords(self.entry.data)),
                    request.target.eq(self.entry.note),
                ]
                m.next = "SECOND"
            with m.State("SECOND"):
                m.d.comb += [
                    self.done.eq(1),
                    self.data_credits.eq(Mux(common.fmt[1], (common.length[:4] + 3) >> 2, 0)),
                ]
                m.d.sync += [
                    request.address.eq(self.entry.data[:32]),
                    request.payload.eq(self.entry.data[32:]),
                    request.number.eq(self.entry.note),
                ]
                m.next = "FULL"
            with m.State("FULL"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "EMPTY"
        return m
