"""What the receiver has granted to the link partner (2.6.1)."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .count import increment
from .layouts import Credits
from .requests import NONPOSTED_HEADERS, POSTED_DATA, POSTED_HEADERS

__all__ = ["GrantedCredits"]

#: As many as the request queues hold in the worst case; completions have no end.
_INITIAL = Credits.const(
    {
        "posted_header": POSTED_HEADERS,
        "posted_data": POSTED_DATA,
        "nonposted_header": NONPOSTED_HEADERS,
        "nonposted_data": NONPOSTED_HEADERS,
    }
)


class GrantedCredits(wiring.Component):
    """Grants again what a request took, once it has left its queue.

    Members
    -------
    up : In(1)
        While the link is down, the initial credits are granted.
    posted, nonposted : In(1)
        Strobes: a request of that class has left.
    posted_data : In(7), nonposted_data : In(2)
        Its data credits.
    allocated : Out(Credits)
        Granted so far.
    """

    up: In(1)
    posted: In(1)
    posted_data: In(7)
    nonposted: In(1)
    nonposted_data: In(2)
    allocated: Out(Credits, init=_INITIAL)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        granted = self.allocated
        for kind in ("posted", "nonposted"):
            header, data = granted[f"{kind}_header"], granted[f"{kind}_data"]
            with m.If(getattr(self, kind)):
                m.d.sync += [
                    header.eq(increment(header)),
                    data.eq(data + getattr(self, f"{kind}_data")),
                ]
        with m.If(~self.up):
            m.d.sync += granted.eq(_INITIAL)
        return m
