"""AES-256-XTS on streams of words."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .aes_expand import AesExpand
from .aes_ring import SIDE_BITS, AesRing, Schedule, Token
from .key_store import KeyWord

__all__ = ["DataUnit", "Xts", "XtsWord"]


class DataUnit(data.Struct):
    """What is encrypted under one tweak: a sector.

    Members
    -------
    slot : 4 bits
        Its keys.
    decrypt : 1 bit
    number : 64 bits
        The tweak: its number on the volume, little-endian in 128 bits.
    """

    slot: 4
    decrypt: 1
    number: 64


class XtsWord(data.Struct):
    """Eight bytes.

    Members
    -------
    data : 64 bits
        The first byte in bits 7:0.
    last : 1 bit
        The data unit ends here.
    side : 11 bits
        Whatever the owner likes: what is given with a block's second word comes out with both.
    bad : 1 bit
        Out of the engine: the keys were missing at some time, and ``data`` is zero.
    """

    data: 64
    last: 1
    side: SIDE_BITS - 1
    bad: 1


class Xts(wiring.Component):
    """XTS-AES-256 (IEEE 1619), in either direction, data unit by data unit.

    Keys come from the key store, which says in ``usable`` whose keys may be used right now. A block
    that is in here when its keys are not, comes out as zeros and ``bad``.

    A data unit is any number of whole blocks of two words, without ciphertext stealing. One of
    32 blocks takes 33 places in the ring, of 7 cycles each, and a few cycles to change keys;
    the tweak of the next one is encrypted meanwhile, if it is known. The first word comes out 70
    cycles after the first two went in, if the engine was empty, and 35 if the tweak was ready.

    Members
    -------
    unit : In(stream.Signature(DataUnit))
        The data units, in the order of their words.
    i : In(stream.Signature(XtsWord))
        Words of the data units.
    o : Out(stream.Signature(XtsWord))
        The same, encrypted or decrypted.
    empty : Out(1)
        No data unit is under way.
    keys : In(stream.Signature(KeyWord))
        From the key store.
    usable : In(16)
        From the key store.
    good : Out(16)
        Slots whose keys are there and may be used.
    """

    unit: In(stream.Signature(DataUnit))
    i: In(stream.Signature(XtsWord))
    o: Out(stream.Signature(XtsWord))
    empty: Out(1)
    keys: In(stream.Signature(KeyWord))
    usable: In(16)
    good: Out(16)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.expand = expand = AesExpand()
        m.submodules.ring = ring = AesRing()
        wiring.connect(m, wiring.flipped(self.keys), expand.i)
        m.d.comb += [
            self.good.eq(expand.ready & self.usable),
            ring.good.eq(self.good),
            ring.write_address.eq(expand.address),
            ring.write_data.eq(expand.data),
            ring.write.eq(expand.write),
        ]

        # A block in front of the ring.
        offered = Token(Signal(Token))
        offered_data = Signal(128)
        placed = Signal()
        m.d.comb += [
            ring.i.eq(offered),
            ring.i.bad.eq(offered.bad | ~self.good.bit_select(offered.slot, 1)),
            ring.i_data.eq(offered_data),
            placed.eq(offered.valid & ring.free & ring.go),
        ]
        with m.If(placed):
            m.d.sync += offered.valid.eq(0)

        with m.Else():
            m.d.sync += offered.bad.eq(ring.i.bad)
        # A key is fetched through a place in the ring that is free while no block is offered.
        fetched = Signal()
        m.d.comb += fetched.eq(ring.fetch & ring.free & ring.go)

        # Tweaks: made for the data unit behind the one under way.
        unit = DataUnit(Signal(DataUnit))
        made = Signal()
        tweak_made = Signal(128)
        tweak_bad = Signal()
        taken = Signal()
        busy = Signal()
        with m.FSM(name="tweak"):
            with m.State("Idle"):
                m.d.comb += self.unit.ready.eq(1)
                m.d.sync += unit.eq(self.unit.payload)
                with m.If(self.unit.valid):
                    m.next = "Fetch"
            with m.State("Fetch"):
                m.d.comb += [
                    busy.eq(1),
                    ring.fetch.eq(~offered.valid),
                    ring.fetch_key.slot.eq(unit.slot),
                    ring.fetch_key.schedule.eq(Schedule.TWEAK),
                ]
                with m.If(fetched):
                    m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += busy.eq(1)
                m.d.sync += [
                    offered.valid.eq(1),
                    offered.slot.eq(unit.slot),
                    offered.schedule.eq(Schedule.TWEAK),
                    offered.bad.eq(0),
                    offered_data.eq(ring.whitening ^ unit.number),
                ]
                m.next = "Wait"
            with m.State("Wait"), m.If(taken):
                m.next = "Idle"
        with m.If(ring.o.valid & (ring.o.schedule == Schedule.TWEAK)):
            m.d.sync += [made.eq(1), tweak_made.eq(ring.o_data), tweak_bad.eq(ring.o.bad)]
        with m.Elif(made):
            m.d.sync += tweak_bad.eq(tweak_bad | ~self.good.bit_select(unit.slot, 1))

        # Data: the key first, then block after block.
        now = DataUnit(Signal(DataUnit))
        tweak = Signal(128)
        white = Signal(128)
        low = Signal(64)
        half = Signal()
        lost = Signal()
        m.d.sync += lost.eq(lost | ~self.good.bit_select(now.slot, 1))
        with m.If(placed & (offered.schedule != Schedule.TWEAK)):
            m.d.sync += tweak.eq(Cat(C(0, 1), tweak[:127]) ^ Mux(tweak[127], 0x87, 0))
        with m.If(self.i.valid & ~half):
            m.d.sync += [low.eq(self.i.payload.data), half.eq(1)]
        m.d.comb += self.i.ready.eq(~half)
        schedule = Mux(now.decrypt, Schedule.DECRYPT, Schedule.ENCRYPT)
        with m.FSM(name="data"):
            # The last block takes its tweak along when it leaves.
            with m.State("Idle"), m.If(made & ~offered.valid):
                m.d.comb += taken.eq(1)
                m.d.sync += [made.eq(0), now.eq(unit), tweak.eq(tweak_made), lost.eq(tweak_bad)]
                m.next = "Fetch"
            with m.State("Fetch"), m.If(~busy):
                m.d.comb += [
                    ring.fetch.eq(~offered.valid),
                    ring.fetch_key.slot.eq(now.slot),
                    ring.fetch_key.schedule.eq(schedule),
                ]
                with m.If(fetched):
                    m.next = "Key"
            with m.State("Key"):
                m.d.sync += white.eq(ring.whitening)
                m.next = "Run"
            with m.State("Run"), m.If(half & ~offered.valid & ~busy):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += [
                        half.eq(0),
                        offered.valid.eq(1),
                        offered.slot.eq(now.slot),
                        offered.schedule.eq(schedule),
                        offered.bad.eq(lost),
                        offered.side.eq(Cat(self.i.payload.side, self.i.payload.last)),
                        offered_data.eq(Cat(low, self.i.payload.data) ^ tweak ^ white),
                    ]
                    with m.If(self.i.payload.last):
                        m.next = "Idle"

        # Each block's tweak goes round with it, and is added again at the end.
        carried = [Signal(128, name=f"carried_{place}") for place in range(4)]
        with m.If(ring.go):
            m.d.sync += Cat(carried).eq(Cat(Mux(ring.free, tweak, carried[3]), carried[:3]))
        done = ring.o.valid & (ring.o.schedule != Schedule.TWEAK)
        out = Signal(128)
        out_side = Signal(SIDE_BITS)
        out_bad = Signal()
        upper = Signal()
        leaving = self.o.valid & self.o.ready
        m.d.comb += [
            ring.go.eq(~(done & self.o.valid & ~(upper & self.o.ready))),
            self.o.payload.data.eq(out.word_select(upper, 64)),
            self.o.payload.side.eq(out_side),
            self.o.payload.last.eq(out_side[-1] & upper),
            self.o.payload.bad.eq(out_bad),
        ]
        with m.If(leaving):
            m.d.sync += [upper.eq(~upper), self.o.valid.eq(~upper)]
        with m.If(done & ring.go):
            m.d.sync += [
                self.o.valid.eq(1),
                out.eq((ring.o_data ^ carried[3]) & (~ring.o.bad).replicate(128)),
                out_side.eq(ring.o.side),
                out_bad.eq(ring.o.bad),
            ]

        under_way = Signal(3)
        m.d.sync += under_way.eq(
            under_way + (self.unit.valid & self.unit.ready) - (leaving & self.o.payload.last)
        )
        m.d.comb += self.empty.eq(under_way == 0)
        return m
