"""Steering: which functions a frame from the wire is for."""

from amaranth import Cat, Module, Signal

from niter.interface import Verdict

from .config import OverlayConfig
from .source import PortRecord
from .stage import Stage
from .table import Table

__all__ = ["Steer"]


class Steer(Stage):
    """Finds the functions on the frame's network that own its destination MAC address, or all
    of them for a multicast frame.

    Sets ``meta.functions`` and clears ``meta.underlay``; without a function the frame gets
    ``UNKNOWN_VNI`` or, when there are functions on the network, ``UNKNOWN_DESTINATION``, and
    stays with the card. A frame that comes from a function of this card does not go back
    to it.

    The table holds the first three words of each function's ``PortRecord``, every four
    words; all are read, in 3 cycles a function and 2 more.

    Parameters
    ----------
    config
        ``functions``.
    """

    #: Words from one function's record to the next.
    STRIDE = 4

    def __init__(self, config: OverlayConfig):
        self.config = config
        doc = "Steering table: MAC address and network of each function, every 4 words."
        self._table = Table(32, config.functions * self.STRIDE, doc)
        super().__init__(blocks={"ports": self._table})

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        self.control(m)
        decided = self.gate(m)
        meta, out = self.i.payload.meta, self.o.payload.meta
        destination = meta.headers.destination
        data = self._table.data

        asked = Signal(2)
        asked_function = Signal(3)
        at = Signal(2)
        function = Signal(3)
        reading = Signal()
        found = Signal(self.config.functions)
        network = Signal()
        m.d.comb += [
            self._table.addr.eq(Cat(asked, asked_function)),
            out.functions.eq(found),
        ]
        with m.If(meta.verdict == Verdict.PASS):
            m.d.comb += out.underlay.eq(found == 0)
            with m.If(found == 0):
                m.d.comb += out.verdict.eq(Verdict.UNKNOWN_VNI)
                with m.If(network):
                    m.d.comb += out.verdict.eq(Verdict.UNKNOWN_DESTINATION)

        # Comparisons of their own are less than one and the choice of what to compare with.
        everybody = destination[40]
        is_low = (data == destination[:32]) | everybody
        is_high = (data[:16] == destination[32:]) | everybody

        owner = Signal()
        is_open = Signal()
        with m.If(~reading & ~decided):
            m.d.sync += [asked.eq(0), asked_function.eq(0), at.eq(0), function.eq(0)]
            m.d.sync += [found.eq(0), network.eq(0)]
            with m.If(self.i.valid):
                m.d.sync += [reading.eq(1), asked.eq(1)]
        with m.If(reading):
            m.d.sync += [at.eq(asked), function.eq(asked_function), asked.eq(asked + 1)]
            with m.If(asked == PortRecord.VNI):
                m.d.sync += [asked.eq(0), asked_function.eq(asked_function + 1)]
            with m.Switch(at):
                with m.Case(PortRecord.MAC_LOW):
                    m.d.sync += owner.eq(is_low)
                with m.Case(PortRecord.MAC_HIGH):
                    m.d.sync += [
                        owner.eq(owner & is_high),
                        is_open.eq((data & PortRecord.OPEN) != 0),
                    ]
                with m.Default():
                    with m.If((data[:24] == meta.vni) & is_open):
                        m.d.sync += network.eq(1)
                        own = meta.local & ~meta.answer & (meta.function == function)
                        with m.If(owner & ~own):
                            m.d.sync += found.bit_select(function, 1).eq(1)
                    with m.If(function == self.config.functions - 1):
                        m.d.sync += [reading.eq(0), decided.eq(1)]
        return m
