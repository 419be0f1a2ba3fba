"""Exact-match lookup: a cuckoo table in block RAM, searched a word at a time."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr

from .table import Table

__all__ = ["MAPPING_HASH", "SLOT_WORDS", "KeyKind", "Lookup"]

#: Chooses the two buckets of a key.
MAPPING_HASH = catalog.CRC16_IBM_3740(data_width=16)

#: Words in a slot.
SLOT_WORDS = 6


class KeyKind(enum.Enum, shape=2):
    """What an entry is found by, beside the network identifier."""

    #: None: the slot is empty, or the second half of an IPv6 entry.
    EMPTY = 0
    #: A MAC address. Its value is a destination, one word.
    MAC = 1
    #: An IPv4 address. Its value is a MAC address.
    IPV4 = 2
    #: An IPv6 address. Its value is a MAC address, and the entry takes both slots of a bucket.
    IPV6 = 3


class Lookup(wiring.Component):
    """Finds the entry of a key in one of two buckets of two slots.

    An entry is a sequence of 18-bit words at positions 0, 1, …; a slot holds six, and the
    second slot of a bucket continues an IPv6 entry. The low 16 bits are, in this order,
    the network identifier's bits 15:0, the key from its least significant word on (3, 2 or 8
    words), and the value (1, 3 or 3 words, the most significant first). Bits 17:16 are the
    ``KeyKind`` at position 0 and bits 17:16, 19:18, 21:20 and 23:22 of the network identifier
    at positions 1 to 4; zero elsewhere. Word ``w`` of slot ``s`` stands at table address
    ``w * slots + s``; slots ``2 b`` and ``2 b + 1`` are bucket ``b``.

    ``MAPPING_HASH`` over the words of network identifier (bits 15:0) and key, and then the
    kind in bits 9:8 above the identifier's bits 23:16, gives both buckets: its low bits the
    first, its high bits the second. Software changes an entry safely by writing its
    position 0 as empty before, and last of all after, the rest.

    A search takes 12 cycles for a MAC address that stands in the first slot, and at most
    10 more where other entries are in the way that differ only in their last words.

    Parameters
    ----------
    slots
        A power of two.
    ipv6
        Whether there can be IPv6 entries.

    Members
    -------
    start : In(1)
        Begin; what follows must hold until ``done``.
    kind : In(KeyKind)
        Which of ``mac`` and ``ip`` is the key.
    vni : In(24)
        Network identifier.
    mac, ip : In(48), In(128)
        Key; an IPv4 address stands in the low 32 bits.
    done : Out(1)
        The search has ended; one cycle.
    hit : Out(1)
        With ``done``: the entry exists.
    value : Out(48)
        From the cycle after ``done`` with ``hit`` on: its value, right-aligned.
    bus : In(csr.Signature)
        Write access to the table.
    """

    def __init__(self, slots: int, *, ipv6: bool):
        self.slots = slots
        self.ipv6 = ipv6
        doc = f"Mapping table of {slots} slots: word w of slot s stands at w * {slots} + s."
        self._table = Table(18, SLOT_WORDS * slots, doc)
        super().__init__(
            {
                "start": In(1),
                "kind": In(KeyKind),
                "vni": In(24),
                "mac": In(48),
                "ip": In(128),
                "done": Out(1),
                "hit": Out(1),
                "value": Out(48),
                "bus": In(csr.Signature(addr_width=self._table.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._table.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = self._table
        m.submodules.hash = bucket_hash = MAPPING_HASH.create()
        wiring.connect(m, wiring.flipped(self.bus), table.bus)

        # Position asked for, and the one whose word is being hashed or compared.
        asked = Signal(range(2 * SLOT_WORDS))
        at = Signal.like(asked)
        arrived = Signal()
        last_key = Signal.like(at)
        last = Signal.like(at)
        with m.Switch(self.kind):
            with m.Case(KeyKind.IPV4):
                m.d.comb += [last_key.eq(2), last.eq(5)]
            if self.ipv6:
                with m.Case(KeyKind.IPV6):
                    m.d.comb += [last_key.eq(8), last.eq(11)]
            with m.Default():
                m.d.comb += [last_key.eq(3), last.eq(4)]

        # Low 16 bits of the entry at this position, as long as they are key, and the rest.
        mac = Cat(self.vni[:16], self.mac)
        ip = Cat(self.vni[:16], self.ip if self.ipv6 else self.ip[:32])
        expected = Signal(16)
        flags = Signal(2)
        m.d.comb += [
            expected.eq(
                Mux(
                    self.kind == KeyKind.MAC,
                    mac.word_select(at[:2], 16),
                    ip.word_select(at if self.ipv6 else at[:2], 16),
                )
            ),
            flags.eq(Cat(self.kind, self.vni[16:]).word_select(at[:3], 2)),
        ]
        with m.If(at > 4):
            m.d.comb += flags.eq(0)

        bits = ceil_log2(self.slots)
        choice = Signal(2)
        bucket = Signal(bits - 1)
        second = Signal()
        m.d.comb += [
            second.eq(asked >= SLOT_WORDS),
            bucket.eq(Mux(choice[1], bucket_hash.crc[17 - bits :], bucket_hash.crc)),
            table.addr.eq(
                Cat(
                    Mux(second, 1, choice[0]),
                    bucket,
                    Mux(second, asked - SLOT_WORDS, asked)[:3],
                )
            ),
        ]

        in_key = Signal()
        equal = Signal()
        m.d.comb += [
            in_key.eq(at <= last_key),
            equal.eq((table.data[16:] == flags) & (~in_key | (table.data[:16] == expected))),
            bucket_hash.data.eq(expected),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += bucket_hash.start.eq(1)
                m.d.sync += [at.eq(0), choice.eq(0)]
                with m.If(self.start):
                    m.next = "Hash"
            with m.State("Hash"):
                m.d.comb += bucket_hash.valid.eq(1)
                m.d.sync += [at.eq(at + 1), asked.eq(0), arrived.eq(0)]
                with m.If(~in_key):
                    m.d.comb += bucket_hash.data.eq(Cat(self.vni[16:], self.kind))
                    m.next = "Compare"
            with m.State("Compare"):
                m.d.sync += [asked.eq(asked + 1), at.eq(asked), arrived.eq(1)]
                with m.If(arrived):
                    with m.If(~in_key):
                        m.d.sync += self.value.eq(Cat(table.data[:16], self.value)[:48])
                    with m.If(~equal):
                        # The other slot of the bucket, then the other bucket; an IPv6 entry
                        # begins in the first slot only.
                        m.d.sync += [choice.eq(choice + 1), asked.eq(0), arrived.eq(0)]
                        last_choice = choice == 3
                        if self.ipv6:
                            with m.If(self.kind == KeyKind.IPV6):
                                m.d.sync += choice.eq(2)
                                last_choice = Mux(self.kind == KeyKind.IPV6, choice[1], last_choice)
                        with m.If(last_choice):
                            m.d.comb += self.done.eq(1)
                            m.next = "Idle"
                    with m.Elif(at == last):
                        m.d.comb += [self.done.eq(1), self.hit.eq(1)]
                        m.next = "Idle"
        return m
