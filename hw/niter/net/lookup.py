"""Exact-match lookup: a cuckoo table in block RAM, searched a slot at a time."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.crc import catalog
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr

from .table import Table

__all__ = ["MAPPING_HASH", "KeyKind", "Lookup", "SlotLayout"]

#: Chooses the two buckets of a key.
MAPPING_HASH = catalog.CRC16_IBM_3740(data_width=16)


#: How the first 32 bits of a key are divided for its comparison.
_PARTS = (slice(0, 12), slice(12, 24), slice(24, 32))


class KeyKind(enum.Enum, shape=2):
    """What an entry is found by, beside its network."""

    #: None: the slot is empty, or the second half of an IPv6 entry.
    EMPTY = 0
    #: A MAC address. Its value is a destination of 16 bits.
    MAC = 1
    #: An IPv4 address. Its value is a MAC address.
    IPV4 = 2
    #: An IPv6 address. Its value is a MAC address, and the entry takes both slots of a bucket.
    IPV6 = 3


class SlotLayout:
    """Where the parts of an entry stand in a slot, as ranges of bits.

    A slot is a row of 18-bit words, the first one lowest. An IPv6 entry fills a slot with the low
    bits of its address, and the other slot of the bucket holds the rest of it and the value.

    Parameters
    ----------
    ipv6
        Whether there are IPv6 entries.
    """

    #: ``KeyKind``; in the same word as it is the network.
    KIND = slice(0, 2)
    NETWORK = slice(2, 10)
    #: MAC address, IPv4 address, or what the first slot has no room for of an IPv6 address.
    MAC = slice(10, 58)
    IPV4 = slice(10, 42)
    IPV6_LOW = slice(10, 108)
    IPV6_HIGH = slice(10, 40)
    #: Values: the MAC address of a neighbour, or where a MAC address is.
    NEIGHBOUR = slice(42, 90)
    DESTINATION = slice(58, 74)

    WORD = 18

    def __init__(self, *, ipv6: bool):
        #: Words in a slot.
        self.words = 6 if ipv6 else 5
        #: Bits in a slot.
        self.bits = self.WORD * self.words


class Lookup(wiring.Component):
    """Finds the entry of a key in one of two buckets of two slots.

    ``SlotLayout`` says how an entry stands in its slot. Word ``w`` of slot ``s`` stands at table
    address ``w * slots + s``; slots ``2 b`` and ``2 b + 1`` are bucket ``b``.

    ``MAPPING_HASH`` over the key's 16-bit words, least significant first, and then the network
    with the kind in bits 9:8, gives both buckets: its low bits the first, its high bits the
    second. Software changes an entry safely by writing its word 0 as empty before, and last
    of all after, the rest.

    A search takes 7 cycles for a MAC address in the first slot, 6 for an IPv4 address, 12 for an
    IPv6 address and its second slot, and 2 more for each other slot before it. A key
    that is nowhere takes as long as one in the last.

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
    mac, ip : In(48), In(128)
        Key; an IPv4 address stands in the low 32 bits.
    network : In(8)
        Network, with ``network_known``, which may come later than ``start``.
    network_known : In(1)
        See ``network``.
    done : Out(1)
        The search has ended; one cycle.
    hit : Out(1)
        With ``done``: the entry exists.
    destination, neighbour : Out(16), Out(48)
        With ``done`` and ``hit``, and until the next ``start``: its value.
    bus : In(csr.Signature)
        The table: software writes it, and reads it back.
    """

    def __init__(self, slots: int, *, ipv6: bool):
        self.slots = slots
        self.ipv6 = ipv6
        self.layout = SlotLayout(ipv6=ipv6)
        doc = f"Mapping table of {slots} slots: word w of slot s stands at w * {slots} + s."
        self._table = Table(SlotLayout.WORD, slots, doc, columns=self.layout.words, readable=True)
        super().__init__(
            {
                "start": In(1),
                "kind": In(KeyKind),
                "mac": In(48),
                "ip": In(128),
                "network": In(8),
                "network_known": In(1),
                "done": Out(1),
                "hit": Out(1),
                "destination": Out(16),
                "neighbour": Out(48),
                "bus": In(csr.Signature(addr_width=self._table.bus.addr_width)),
            }
        )
        self.bus.memory_map = self._table.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = self._table
        m.submodules.hash = bucket_hash = MAPPING_HASH.create()
        wiring.connect(m, wiring.flipped(self.bus), table.bus)
        m.d.comb += [
            self.destination.eq(table.data[SlotLayout.DESTINATION]),
            self.neighbour.eq(table.data[SlotLayout.NEIGHBOUR]),
        ]

        # The slot to ask for next, and after it the answer.
        probe = Signal(3)
        bits = ceil_log2(self.slots)
        bucket = Mux(probe[1], bucket_hash.crc[17 - bits :], bucket_hash.crc[: bits - 1])
        asking = Signal()
        m.d.comb += [table.addr.eq(Cat(probe[0], bucket)), table.en.eq(asking)]
        # Block memory is late in its cycle: parts are compared in it, and put together behind it.
        parts = Signal(len(_PARTS) + 2 + self.ipv6)
        equal = Signal()
        hit = Signal()
        m.d.comb += [equal.eq(parts.all()), hit.eq(equal)]
        second_half = 0
        if self.ipv6:
            # Both halves of an entry match, one after the other.
            before = Signal()
            wide = self.kind == KeyKind.IPV6
            second_half = wide & ~probe[0]
            with m.If(wide):
                m.d.comb += hit.eq(equal & before & second_half)

        word = Signal(range(9))
        last_word = Signal.like(word)
        key = Signal(16)
        with m.Switch(self.kind):
            with m.Case(KeyKind.IPV4):
                m.d.comb += last_word.eq(2)
            if self.ipv6:
                with m.Case(KeyKind.IPV6):
                    m.d.comb += last_word.eq(8)
            with m.Default():
                m.d.comb += last_word.eq(3)
        ip = self.ip if self.ipv6 else self.ip[:32]
        m.d.comb += [
            key.eq(
                Mux(
                    self.kind == KeyKind.MAC,
                    self.mac.word_select(word[:2], 16),
                    ip.word_select(word[: 3 if self.ipv6 else 1], 16),
                )
            ),
            bucket_hash.data.eq(Mux(word == last_word, Cat(self.network, self.kind), key)),
        ]
        # What has been hashed is what will be compared: no choice between keys there.
        kept = [Signal(16, name=f"kept_{n}") for n in range(8 if self.ipv6 else 3)]
        with m.Switch(word):
            for n, part in enumerate(kept):
                with m.Case(n):
                    m.d.sync += part.eq(key)

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += bucket_hash.start.eq(1)
                m.d.sync += [word.eq(0), probe.eq(0), parts.eq(0)]
                with m.If(self.start):
                    m.next = "Hash"
            with m.State("Hash"), m.If((word != last_word) | self.network_known):
                m.d.comb += bucket_hash.valid.eq(1)
                m.d.sync += word.eq(word + 1)
                with m.If(word == last_word):
                    m.next = "Ask"
            with m.State("Ask"):
                m.d.comb += asking.eq(~hit & ~probe[2])
                m.next = "Compare"
                with m.If(hit | probe[2]):
                    m.d.comb += [self.done.eq(1), self.hit.eq(hit)]
                    m.next = "Idle"
                with m.Else():
                    m.d.sync += probe.eq(probe + 1)
            with m.State("Compare"):
                m.d.sync += parts.eq(self._equal(table.data, Cat(kept), second_half))
                if self.ipv6:
                    m.d.sync += before.eq(equal)
                m.next = "Ask"
        return m

    def _equal(self, slot, key, second_half):
        """The slot holds the key, or the half of it that is to stand there: all these hold."""
        layout = SlotLayout
        head = Mux(second_half, 0, Cat(self.kind, self.network))
        low = key[:32]
        if self.ipv6:
            shared = layout.IPV6_HIGH.stop - layout.IPV6_HIGH.start
            cut = layout.IPV6_LOW.stop - layout.IPV6_LOW.start
            low = Mux(second_half, Cat(key[cut:], Const(0, 32 - shared)), low)
        parts = [slot[: layout.NETWORK.stop] == head]
        parts += [slot[layout.IPV4][part] == low[part] for part in _PARTS]
        high = slot[layout.IPV4.stop : layout.MAC.stop]
        parts.append((self.kind != KeyKind.MAC) | (high == key[32:48]))
        if self.ipv6:
            rest = slot[layout.IPV4.stop : layout.IPV6_LOW.stop] == key[32:cut]
            parts.append((self.kind != KeyKind.IPV6) | second_half | rest)
        return Cat(parts)
