"""A memory in EBR that costs nothing beside it."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import memory

__all__ = ["Ram"]


class Ram(memory.Memory):
    """A ``memory.Memory`` whose users never read a word in the cycle in which it is written.

    What such a read returns is undefined: an EBR gives neither the old word nor the new one
    for sure. ``memory.Memory`` promises the old one, and synthesis then delays every write and
    compares and multiplexes beside the EBR, at more than one LUT and two flip-flops a bit.
    Simulation shows the old word here too; who needs one or the other for certain uses
    ``memory.Memory``, or forwards the word.

    Parameters
    ----------
    shape, depth, init
        As for ``memory.Memory``.
    """

    def __init__(self, *, shape, depth, init):
        super().__init__(
            shape=shape, depth=depth, init=init, attrs={"no_rw_check": 1, "ram_style": "block"}
        )
        self._reads = []

    def read_port(self, *, domain="sync", shown=None):
        """A port with ``addr``, ``en`` and ``data``: the word stands there one cycle later.

        Parameters
        ----------
        domain
            Of its clock.
        shown
            A signal. One cycle after it is low, all zeros stand there instead, whatever ``en`` is.
        """
        inside = super().read_port(domain="comb")
        outside = memory.ReadPort.Signature(
            addr_width=inside.signature.addr_width, shape=inside.signature.shape
        ).create()
        self._reads.append((inside, outside, domain, shown))
        return outside

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.cells = super().elaborate(platform)
        # A register behind an asynchronous port is what synthesis takes as "undefined".
        for number, (inside, outside, domain, shown) in enumerate(self._reads):
            data = Signal.like(outside.data, name=f"data_{number}", reset_less=True)
            m.d.comb += [inside.addr.eq(outside.addr), outside.data.eq(data)]
            with m.If(outside.en):
                m.d[domain] += data.eq(inside.data)
            if shown is not None:
                # The reset of the EBR's own register.
                with m.If(~shown):
                    m.d[domain] += Value.cast(data).eq(0)
        return m
