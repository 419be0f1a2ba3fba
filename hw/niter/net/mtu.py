"""The size limit of what a function may send."""

from amaranth import Module

from niter import csr
from niter.compare import less
from niter.interface import Verdict

from .config import OverlayConfig
from .stage import Stage, pass_frame

__all__ = ["SizeLimit"]


class Limit(csr.Register, access="rw"):
    """Longest frame that a tenant may send."""

    frame: csr.Field(csr.action.RW, 14, init=1514, doc="Bytes without FCS and VLAN tag.")


class SizeLimit(Stage):
    """Gives a frame that is longer than its network carries the verdict ``TOO_BIG``.

    The tunnel adds its headers to a frame and must not be fragmented (RFC 7348, 4.3), so the
    limit is what the underlay carries less these headers. A VLAN tag does not count.
    Combinational.

    Parameters
    ----------
    config
        Not looked at.
    """

    def __init__(self, config: OverlayConfig):
        self.config = config
        self._limit = Limit()
        super().__init__(registers={"limit": self._limit})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        meta = self.i.payload.meta
        m.d.comb += pass_frame(self.i, self.o)
        tag = meta.headers.vlan << 2
        too_big = less(self._limit.f.frame.data + tag, meta.length)
        with m.If(too_big & (meta.verdict == Verdict.PASS)):
            m.d.comb += self.o.payload.meta.verdict.eq(Verdict.TOO_BIG)
        return m
