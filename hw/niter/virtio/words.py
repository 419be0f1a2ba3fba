"""How control writes words of the functions: two registers, of which one selects."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr

__all__ = ["WordWriter"]


class WordWriter(wiring.Component):
    """Registers ``select``, with a function and a word of it, and ``value``, which writes that.

    A word is offered from the cycle after its write until it is taken. The next write must not
    come before: who takes words does so in a few cycles.

    Parameters
    ----------
    value
        The register that is written; its field ``value`` has 32 bits. Its docstring tells what
        the words are.
    word_bits
        Width of a word's number.

    Members
    -------
    csr : In(csr.Signature(addr_width=1))
        The registers.
    valid, ready, function, word, data
        A word that was written.
    """

    def __init__(self, value: csr.Register, *, word_bits: int):
        class Select(csr.Register, access="rw"):
            """Which word of which function ``value`` writes."""

            word: csr.Field(csr.action.RW, word_bits, doc="Number of the word.")
            reserved: csr.Field(csr.action.Reserved, 8 - word_bits)
            function: csr.Field(csr.action.RW, 3, doc="Number of the function.")

        builder = csr.Builder(addr_width=1)
        self._select = builder.add("select", Select())
        self._value = builder.add("value", value)
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__(
            {
                "csr": In(csr.Signature(addr_width=1)),
                "valid": Out(1),
                "ready": In(1),
                "function": Out(3),
                "word": Out(word_bits),
                "data": Out(32),
            }
        )
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        select, value = self._select.f, self._value.f.value
        waiting = Signal()
        m.d.comb += self.valid.eq(waiting)
        m.d.sync += waiting.eq(value.w_stb | (waiting & ~self.ready))
        with m.If(value.w_stb):
            m.d.sync += [
                self.word.eq(select.word.data),
                self.function.eq(select.function.data),
                self.data.eq(value.w_data),
            ]
        return m
