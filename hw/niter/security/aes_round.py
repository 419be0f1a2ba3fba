"""One round of AES, in either direction."""

from functools import reduce
from operator import xor

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .aes_tables import LOOKUP

__all__ = ["AesRound", "mix_columns"]


def _double(byte):
    """Twice a byte in AES' field."""
    return Cat(
        byte[7],
        byte[0] ^ byte[7],
        byte[1],
        byte[2] ^ byte[7],
        byte[3] ^ byte[7],
        byte[4],
        byte[5],
        byte[6],
    )


def mix_columns(column):
    """MixColumns (FIPS 197, 5.1.3) of one column: four bytes in, four bytes out."""
    return [
        _double(column[row] ^ column[(row + 1) % 4])
        ^ reduce(xor, (column[(row + other) % 4] for other in (1, 2, 3)))
        for row in range(4)
    ]


class AesRound(wiring.Component):
    """Looks sixteen bytes up, mixes them, adds a key.

    Decryption is the equivalent inverse cipher (FIPS 197, 5.3.5): its keys went through inverse
    MixColumns before, and the round has the same order of steps. The lookup tables, one block RAM
    for two bytes, are the round's register: ``result`` follows ``state`` by one cycle, to which
    ``was_decrypt``, ``key`` and ``last`` belong already.

    Parameters
    ----------
    final
        The round can be the last one, which does not mix.

    Members
    -------
    enable : In(1)
        Take ``state``.
    state : In(128)
        Column by column, the first byte in bits 7:0.
    decrypt, was_decrypt : In(1)
        Direction, with ``state`` and with ``result``.
    key : In(128)
        The round key.
    last : In(1)
        Leave MixColumns out.
    result : Out(128)
        The state behind this round.
    """

    enable: In(1)
    state: In(128)
    decrypt: In(1)
    was_decrypt: In(1)
    key: In(128)
    last: In(1)
    result: Out(128)

    def __init__(self, *, final: bool):
        self.final = final
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        low, high = [], []
        for pair in range(8):
            m.submodules[f"table_{pair}"] = table = Ram(shape=16, depth=512, init=LOOKUP)
            for byte in (2 * pair, 2 * pair + 1):
                port = table.read_port()
                m.d.comb += [
                    port.addr.eq(Cat(self.state.word_select(byte, 8), self.decrypt)),
                    port.en.eq(self.enable),
                ]
                low.append(port.data[:8])
                high.append(port.data[8:])

        def shifted(source, row, column, back):
            return source[row + 4 * ((column - row if back else column + row) % 4)]

        for column in range(4):
            mixing, plain = [], []
            for row in range(4):
                here = Mux(
                    self.was_decrypt,
                    shifted(low, row, column, True),
                    shifted(low, row, column, False),
                )
                # The high bytes are zero when encrypting.
                mixed, alone = Signal(8), Signal(8)
                m.d.comb += [
                    mixed.eq(here ^ shifted(high, (row + 2) % 4, column, True)),
                    alone.eq(here ^ shifted(high, row, column, True)),
                ]
                mixing.append(mixed)
                plain.append(alone)
            for row, mixed in enumerate(mix_columns(mixing)):
                at = slice(32 * column + 8 * row, 32 * column + 8 * row + 8)
                out = Mux(self.last, plain[row], mixed) if self.final else mixed
                m.d.comb += self.result[at].eq(out ^ self.key[at])
        return m
