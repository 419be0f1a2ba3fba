"""Expands AES-256-XTS keys into round keys."""

from functools import reduce
from operator import xor

from amaranth import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .aes_ring import KeyAddress, Schedule
from .aes_round import mix_columns
from .aes_tables import LOOKUP, multiply
from .key_store import KeyWord

__all__ = ["AesExpand"]

_ROUNDS = 14
_WORDS = 4 * (_ROUNDS + 1)

#: The powers of x that are added to every eighth word (FIPS 197, 5.2).
_CONSTANTS = [1]
while len(_CONSTANTS) < 7:
    _CONSTANTS.append(multiply(_CONSTANTS[-1], 2))


def _unmix(column):
    """Inverse MixColumns of one column."""
    before = [
        reduce(xor, (_times(column[row], 5), _times(column[(row + 2) % 4], 4))) for row in range(4)
    ]
    return mix_columns(before)


def _times(byte, factor):
    """A byte times a constant in AES' field, as the sum of its bits' products."""
    bits = [[] for _ in range(8)]
    for at in range(8):
        product = multiply(1 << at, factor)
        for bit in range(8):
            if product >> bit & 1:
                bits[bit].append(byte[at])
    return Cat(reduce(xor, terms) for terms in bits)


def _place(number):
    """Bank and index of round key ``number`` in the ring's memories."""
    first = number == 0
    bank = ~number[0] & ~first
    return bank, Mux(first, 7, (number - 1) >> 1)


class AesExpand(wiring.Component):
    """Takes the keys of a slot and writes the round keys for both directions (FIPS 197, 5.2).

    The first eight words are the data key: its round keys are written twice, for encryption and,
    in reverse and through inverse MixColumns, for decryption. The other eight are the tweak key.
    A slot takes about 500 cycles, forgetting one 32. A slot is ``ready`` from its last round
    key until its next key's first word, or the order to forget it.

    Members
    -------
    i : In(stream.Signature(KeyWord))
        Keys, sixteen words of a slot in order, or orders to forget.
    ready : Out(16)
        Slots whose round keys are complete.
    address : Out(KeyAddress)
        Where ``data`` is written.
    data : Out(32)
        A word of a round key.
    write : Out(8)
        Which word it is, of which of the ring's two memories.
    """

    i: In(stream.Signature(KeyWord))
    ready: Out(16)
    address: Out(KeyAddress)
    data: Out(32)
    write: Out(8)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = Ram(shape=16, depth=512, init=LOOKUP)
        lookup = table.read_port()
        key = self.i.payload
        slot = Signal(4)
        tweak = Signal()
        window = [Signal(32, name=f"window_{at}") for at in range(8)]
        number = Signal(6)
        turned = Signal(32)
        looked = Signal(3)
        constants = Array(C(value, 8) for value in _CONSTANTS)
        eighth = number[:3] == 0

        shift = Signal()
        word = Signal(32)
        with m.If(shift):
            m.d.sync += [
                Cat(window).eq(Cat(window[1:], word)),
                number.eq(number + 1),
            ]
        latest = window[7]
        m.d.comb += lookup.addr.eq(turned[:8])

        # Words are written from the window, a cycle after they entered it.
        written = Signal(6)
        round_key = written >> 2
        reverse = (_ROUNDS - round_key)[:4]
        lane = C(1, 4) << written[:2]
        bank, index = _place(round_key)
        back_bank, back_index = _place(reverse)
        unmixed = Cat(_unmix([latest.word_select(row, 8) for row in range(4)]))
        inner = (round_key != 0) & (round_key != _ROUNDS)
        m.d.comb += [self.address.slot.eq(slot), self.data.eq(latest)]

        with m.FSM():
            with m.State("Take"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += slot.eq(key.slot)
                    with m.If(key.erase | (key.index == 0)):
                        m.d.sync += self.ready.bit_select(key.slot, 1).eq(0)
                    with m.If(key.erase):
                        m.d.sync += number.eq(0)
                        m.next = "Erase"
                    with m.Else():
                        m.d.comb += [shift.eq(1), word.eq(key.data)]
                        m.d.sync += [
                            tweak.eq(key.index[3]),
                            written.eq(key.index[:3]),
                            number.eq(key.index[:3] + 1),
                        ]
                        m.next = "Write"
            with m.State("Erase"):
                m.d.comb += [
                    self.address.index.eq(number[:3]),
                    self.address.schedule.as_value().eq(number[3:5]),
                    self.data.eq(0),
                    self.write.eq(0xFF),
                ]
                # Zeros go through the window meanwhile: nothing of a key is left here either.
                m.d.comb += shift.eq(1)
                m.d.sync += turned.eq(0)
                with m.If(number[:5].all()):
                    m.next = "Take"
            with m.State("Write"):
                m.d.comb += [
                    self.address.index.eq(index),
                    self.address.schedule.eq(Mux(tweak, Schedule.TWEAK, Schedule.ENCRYPT)),
                    self.write.eq(Mux(bank, lane << 4, lane)),
                ]
                m.next = "Write back"
            with m.State("Write back"):
                m.d.comb += [
                    self.address.index.eq(back_index),
                    self.address.schedule.eq(Schedule.DECRYPT),
                    self.data.eq(Mux(inner, unmixed, latest)),
                    self.write.eq(Mux(tweak, 0, Mux(back_bank, lane << 4, lane))),
                ]
                m.d.sync += [
                    # A word of four in the middle of eight is not rotated before its look-up.
                    turned.eq(Mux(eighth, latest.rotate_right(8), latest)),
                    looked.eq(0),
                ]
                with m.If(number == _WORDS):
                    m.d.sync += self.ready.bit_select(slot, 1).eq(tweak)
                    m.next = "Take"
                with m.Elif(number < 8):
                    m.next = "Take"
                with m.Elif(number[:2] == 0):
                    m.next = "Look up"
                with m.Else():
                    m.next = "Next"
            with m.State("Look up"):
                # A byte a cycle; its substitute comes in behind the others a cycle later.
                m.d.sync += [
                    looked.eq(looked + 1),
                    turned.eq(Cat(turned[8:], lookup.data[:8])),
                ]
                with m.If(looked == 4):
                    m.next = "Next"
            with m.State("Next"):
                m.d.comb += [
                    shift.eq(1),
                    word.eq(window[0] ^ Mux(number[:2] == 0, turned, latest)),
                ]
                with m.If(eighth):
                    m.d.comb += word[:8].eq(
                        window[0][:8] ^ turned[:8] ^ constants[(number >> 3) - 1]
                    )
                m.d.sync += written.eq(number)
                m.next = "Write"
        return m
