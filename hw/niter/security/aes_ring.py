"""AES-256 in a ring: two rounds, four blocks under way."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .aes_round import AesRound

__all__ = ["SIDE_BITS", "AesRing", "KeyAddress", "Schedule", "Token"]


class Schedule(enum.Enum, shape=2):
    """The round keys of a slot: those of the data key in both directions, and of the tweak key."""

    ENCRYPT = 0
    DECRYPT = 1
    TWEAK = 2


#: Bits that travel with each block for whoever sent it.
SIDE_BITS = 12


class KeyAddress(data.Struct):
    """Place of a round key in one of two memories.

    The key of round ``2 n + 1`` stands at ``index`` n of the first one, that of round ``2 n + 2``
    in the second. What is added before the first round is at index 7 of the first.
    """

    index: 3
    schedule: Schedule
    slot: 4


class Token(data.Struct):
    """What a block in the ring is.

    Members
    -------
    valid : 1 bit
    lap : 3 bits
        How often it went round: two rounds each time, seven times.
    schedule, slot
        Its round keys; all but ``Schedule.DECRYPT`` encrypt.
    bad : 1 bit
        Its keys were missing at some time.
    side : 12 bits
        The owner's.
    """

    valid: 1
    lap: 3
    schedule: Schedule
    slot: 4
    bad: 1
    side: SIDE_BITS


_LAPS = 7


class AesRing(wiring.Component):
    """Encrypts and decrypts blocks with AES-256 (FIPS 197), in any mixture.

    Four blocks go round through an odd and an even round, each with a register behind its
    tables; a block takes 28 cycles, and the ring one block every 7 of them. ``o`` shows a block
    that is done for one cycle, in which its place is free again. The first key addition is the
    owner's, who reads that key through ``whitening`` when a free place goes by.

    While ``go`` is low everything stands still, except that a block whose slot is not in ``good``
    at any time on its way comes out ``bad``.

    Members
    -------
    go : In(1)
        Move.
    good : In(16)
        Slots whose keys are there.
    i, i_data : In(Token), In(128)
        A block to begin with, first key added; ``lap`` is not looked at.
    free : Out(1)
        It is taken in this cycle, if ``go``.
    fetch : In(1)
        Use a free place to read a key instead: ``i`` must not be valid.
    fetch_key : In(KeyAddress)
        Which one; ``index`` is not looked at.
    fetched : Out(1)
        ``whitening`` is that key.
    whitening : Out(128)
        The key that was fetched.
    o, o_data : Out(Token), Out(128)
        A block that is done; valid for one moving cycle.
    write_address : In(KeyAddress)
        Place of round keys that are written.
    write_data : In(32)
        One word of them.
    write : In(8)
        Which words: four of the first memory, four of the second.
    """

    go: In(1)
    good: In(16)
    i: In(Token)
    i_data: In(128)
    free: Out(1)
    fetch: In(1)
    fetch_key: In(KeyAddress)
    fetched: Out(1)
    whitening: Out(128)
    o: Out(Token)
    o_data: Out(128)
    write_address: In(KeyAddress)
    write_data: In(32)
    write: In(8)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.odd = odd = AesRound(final=False)
        m.submodules.even = even = AesRound(final=True)

        keys = []
        addresses = []
        for half in range(2):
            address = Signal(9)
            words = []
            for word in range(4):
                storage = Ram(shape=32, depth=512, init=[])
                m.submodules[f"keys_{half}_{word}"] = storage
                read, write = storage.read_port(), storage.write_port()
                m.d.comb += [
                    read.addr.eq(address),
                    read.en.eq(self.go),
                    write.addr.eq(self.write_address),
                    write.data.eq(self.write_data),
                    write.en.eq(self.write[4 * half + word]),
                ]
                words.append(read.data)
            keys.append(Cat(words))
            addresses.append(address)

        # Places of the ring: in front of the odd round, in its tables, and so on.
        entering = Token(Signal(Token))
        in_odd, between, in_even, behind = (
            Token(Signal(Token, name=name)) for name in ("in_odd", "between", "in_even", "behind")
        )
        between_data, behind_data = Signal(128), Signal(128)
        done = behind.lap == _LAPS - 1
        again = behind.valid & ~done
        fetching = Signal()
        m.d.comb += [
            self.free.eq(~again),
            entering.eq(Mux(again, behind.as_value(), self.i.as_value())),
            entering.valid.eq(again | self.i.valid),
            entering.lap.eq(Mux(again, behind.lap + 1, 0)),
            fetching.eq(self.fetch & ~again),
            odd.state.eq(Mux(again, behind_data, self.i_data)),
            odd.decrypt.eq(entering.schedule == Schedule.DECRYPT),
            odd.was_decrypt.eq(in_odd.schedule == Schedule.DECRYPT),
            odd.key.eq(keys[0]),
            even.state.eq(between_data),
            even.decrypt.eq(between.schedule == Schedule.DECRYPT),
            even.was_decrypt.eq(in_even.schedule == Schedule.DECRYPT),
            even.last.eq(in_even.lap == _LAPS - 1),
            even.key.eq(keys[1]),
            addresses[0].eq(
                Mux(
                    fetching,
                    Cat(C(7, 3), self.fetch_key.schedule, self.fetch_key.slot),
                    Cat(entering.lap, entering.schedule, entering.slot),
                )
            ),
            addresses[1].eq(Cat(between.lap, between.schedule, between.slot)),
            odd.enable.eq(self.go),
            even.enable.eq(self.go),
            self.o.eq(behind),
            self.o.valid.eq(behind.valid & done),
            self.o_data.eq(behind_data),
            self.whitening.eq(keys[0]),
        ]
        # Keys may vanish while the ring stands still: each place looks in every cycle.
        places = (in_odd, between, in_even, behind)
        bad = []
        for number, place in enumerate(places):
            seen = Signal(name=f"bad_{number}")
            m.d.comb += seen.eq(place.bad | ~self.good.bit_select(place.slot, 1))
            m.d.sync += place.bad.eq(seen)
            bad.append(seen)
        m.d.comb += self.o.bad.eq(bad[3])
        with m.If(self.go):
            m.d.sync += [
                self.fetched.eq(fetching),
                in_odd.eq(entering),
                between.eq(in_odd),
                between_data.eq(odd.result),
                in_even.eq(between),
                behind.eq(in_even),
                behind_data.eq(even.result),
                in_odd.bad.eq(Mux(again, bad[3], self.i.bad)),
                between.bad.eq(bad[0]),
                in_even.bad.eq(bad[1]),
                behind.bad.eq(bad[2]),
            ]
        return m
