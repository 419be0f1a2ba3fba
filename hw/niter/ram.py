"""A memory in EBR that costs nothing beside it."""

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import memory

__all__ = ["BankedRam", "Ram"]


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


class BankedRam(Elaboratable):
    """A ``Ram`` whose depth is three quarters of a power of two, in a large and a small bank.

    Synthesis makes such a depth of three equal parts, as wide as an EBR goes, and every bit has
    three wires to choose from. The large bank is of EBRs that are deep and narrow: three quarters
    of the pins. What is read is either bank's word or the other's, of which one is zero.

    Parameters
    ----------
    width
        Bits of a word.
    depth
        Three quarters of a power of two from 4 up.
    """

    def __init__(self, width: int, depth: int):
        bank = depth // 3
        if bank < 1 or depth != 3 * bank or bank & (bank - 1):
            raise ValueError(f"Depth must be three quarters of a power of two, not {depth!r}")
        self._banks = [Ram(shape=width, depth=n * bank, init=[]) for n in (2, 1)]
        self._bits = (2 * bank).bit_length()
        self._width = width
        self._reads, self._writes = [], []

    def read_port(self):
        """A port in ``sync``, as ``Ram`` has it."""
        port = memory.ReadPort.Signature(addr_width=self._bits, shape=self._width).create()
        shown = [Signal(name=f"shown_{number}") for number in range(2)]
        inside = [ram.read_port(shown=each) for ram, each in zip(self._banks, shown, strict=True)]
        self._reads.append((port, inside, shown))
        return port

    def write_port(self, *, granularity=None):
        """A port in ``sync``, as ``Ram`` has it."""
        inside = [ram.write_port(granularity=granularity) for ram in self._banks]
        port = memory.WritePort.Signature(
            addr_width=self._bits, shape=self._width, granularity=granularity
        ).create()
        self._writes.append((port, inside))
        return port

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.large, m.submodules.small = self._banks
        for port, inside in self._writes:
            for each, mine in zip(inside, self._turns(port), strict=True):
                m.d.comb += [
                    each.addr.eq(port.addr),
                    each.data.eq(port.data),
                    each.en.eq(port.en & mine.replicate(len(port.en))),
                ]
        for port, inside, shown in self._reads:
            large, small = inside
            m.d.comb += port.data.eq(large.data | small.data)
            for each, show, mine in zip(inside, shown, self._turns(port), strict=True):
                m.d.comb += [
                    each.addr.eq(port.addr),
                    each.en.eq(port.en),
                    # What was read before stands while nothing is read.
                    show.eq(mine | ~port.en),
                ]
        return m

    @staticmethod
    def _turns(port) -> tuple[Value, Value]:
        """Whether the large bank is meant, and whether the small one is."""
        return ~port.addr[-1], port.addr[-1]
