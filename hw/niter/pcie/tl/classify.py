"""What kind of TLP has been received."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from .header import TlpCommon, TlpType, swap_dwords

__all__ = ["Stage", "TlpClassifier", "TlpKind"]


class TlpKind(enum.Enum, shape=3):
    """What the first doubleword makes of a TLP."""

    MALFORMED = 0
    WRITE = 1
    MESSAGE = 2
    NONPOSTED = 3
    COMPLETION = 4
    #: We send no locked request, so its completion is unexpected.
    LOCKED_COMPLETION = 5


class Stage(data.Struct):
    """What is known of the beat in a stage of the pipeline, beside its data."""

    valid: 1
    first: 1
    second: 1
    last: 1
    kind: TlpKind


class TlpClassifier(wiring.Component):
    """Tells the kind of a TLP by its first doubleword (table 2-3); combinational."""

    #: The first doubleword, in the order of bytes on the link.
    data: In(32)
    #: Max_Payload_Size is 256 bytes, not 128.
    large_payload: In(1)
    #: What it is.
    kind: Out(TlpKind)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        common = TlpCommon(swap_dwords(self.data))
        four, has_data = common.fmt[0], common.fmt[1]
        exists = ~common.fmt[2]
        beyond = Signal()
        single = Signal()
        length = common.length
        # Zero is 1024.
        small = length[6:].any() | (length[5] & length[:5].any())
        large = length[7:].any() | (length[6] & length[:6].any())
        m.d.comb += [
            beyond.eq(has_data & (Mux(self.large_payload, large, small) | ~length.any())),
            single.eq(length == 1),
        ]
        with m.If(exists & ~beyond), m.Switch(common.type):
            with m.Case(TlpType.MEMORY):
                m.d.comb += self.kind.eq(Mux(has_data, TlpKind.WRITE, TlpKind.NONPOSTED))
            with m.Case(TlpType.MEMORY_LOCKED):
                m.d.comb += self.kind.eq(Mux(has_data, TlpKind.MALFORMED, TlpKind.NONPOSTED))
            with m.Case(TlpType.IO, TlpType.CONFIGURATION_0, TlpType.CONFIGURATION_1):
                m.d.comb += self.kind.eq(Mux(single & ~four, TlpKind.NONPOSTED, TlpKind.MALFORMED))
            with m.Case(TlpType.FETCH_ADD, TlpType.SWAP, TlpType.COMPARE_SWAP):
                m.d.comb += self.kind.eq(Mux(has_data, TlpKind.NONPOSTED, TlpKind.MALFORMED))
            with m.Case(TlpType.COMPLETION):
                m.d.comb += self.kind.eq(Mux(four, TlpKind.MALFORMED, TlpKind.COMPLETION))
            with m.Case(TlpType.COMPLETION_LOCKED):
                m.d.comb += self.kind.eq(Mux(four, TlpKind.MALFORMED, TlpKind.LOCKED_COMPLETION))
            with m.Case("10---"):
                m.d.comb += self.kind.eq(Mux(four, TlpKind.MESSAGE, TlpKind.MALFORMED))
        return m
