"""Which frames a driver does not want: the receive modes of its function, in hardware."""

from functools import reduce
from operator import xor

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import MAX_FUNCTIONS, FrameBeat, FrameStream
from niter.ram import Ram

__all__ = ["HASHES_FROM", "HASH_BITS", "Filter", "Modes"]

#: VLANs come first in a function's half of the table, and hashes of multicast addresses last, so
#: that all from the first hash on can be cleared at once.
_TABLE_BITS, HASH_BITS = 13, 6
HASHES_FROM = (1 << _TABLE_BITS) - (1 << HASH_BITS)

#: Tag protocol identifier of IEEE 802.1Q, as it stands in a beat.
_TAGGED = int.from_bytes(b"\x81\x00", "little")


class Modes(data.Struct):
    """What a function's driver wants (virtio 1.2, 5.1.6.5.1 to 5.1.6.5.3). All clear: everything.

    The first six have the numbers of the commands of class VIRTIO_NET_CTRL_RX.

    Members
    -------
    promiscuous : 1 bit
        Everything, whatever the other bits say.
    all_multicast, all_unicast : 1 bit
        Every multicast, whatever its hash; unicasts, whatever ``no_unicast`` says.
    no_multicast, no_unicast, no_broadcast : 1 bit
        No frame of that kind.
    hashes : 1 bit
        Of multicasts only those whose address' hash is in the table.
    vlans : 1 bit
        Of frames with a VLAN tag only those whose VLAN is in the table.
    """

    promiscuous: 1
    all_multicast: 1
    all_unicast: 1
    no_multicast: 1
    no_unicast: 1
    no_broadcast: 1
    hashes: 1
    vlans: 1


class _Stage(data.Struct):
    """A beat on its way; whether it is its frame's first one."""

    valid: 1
    first: 1
    frame: FrameBeat


class Filter(wiring.Component):
    """Takes out the frames that a function's driver does not want; they leave nothing behind.

    A frame is judged by its first two beats: a broadcast, another multicast or a unicast, and its
    outermost VLAN. The hash of a multicast address is the exclusive or of its 6-bit groups, from
    the low end of its first byte on. The tables of VLANs and hashes are one memory of one bit: an
    EBR for two functions.

    While a function's driver is not running its modes are clear, and cannot be set: what the table
    says does not count then, and is to be written anew before a mode makes it count.

    Latency 4 cycles, one beat a cycle. A frame's beats stay together: a beat leaves when the fourth
    behind it comes, or the end of the frame.

    Parameters
    ----------
    functions
        1 to 8.

    Members
    -------
    i : In(FrameStream), o : Out(FrameStream)
        ``rx`` frames; ``meta.function`` counts.
    ready : In(8)
        Functions whose driver is running.
    csr : In(csr.Signature(addr_width=1))
        ``mode`` and ``table``.
    """

    class Mode(csr.Register, access="w"):
        """Sets a function's modes."""

        modes: csr.Field(csr.action.W, Modes, doc="See ``Modes``, lowest bit first.")
        function: csr.Field(csr.action.W, 3, doc="Whose.")

    class Table(csr.Register, access="rw"):
        """Writes a bit of a function's table; not while ``busy``."""

        place: csr.Field(
            csr.action.W, _TABLE_BITS, doc="A VLAN, or 8,128 and the hash of a multicast address."
        )
        function: csr.Field(csr.action.W, 3, doc="Whose.")
        wanted: csr.Field(csr.action.W, 1, doc="Whether frames of it are.")
        onward: csr.Field(csr.action.W, 1, doc="All bits from this place on, one a cycle.")
        busy: csr.Field(csr.action.R, 1, doc="They are being written.")

    def __init__(self, functions: int):
        self.functions = functions
        self._mode, self._table = self.Mode(), self.Table()
        builder = csr.Builder(addr_width=1)
        builder.add("mode", self._mode)
        builder.add("table", self._table)
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                "ready": In(MAX_FUNCTIONS),
                "csr": In(csr.Signature(addr_width=1)),
            }
        )
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)
        bits = ceil_log2(self.functions)
        m.submodules.table = table = Ram(shape=1, depth=1 << _TABLE_BITS + bits, init=[])
        load = table.read_port()
        self._write(m, table.write_port(), bits)
        modes = self._modes(m)

        # Where a frame is under way at the input, nothing moves without its next beat.
        moves, inside = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            moves.eq(self.i.ready & (self.i.valid | ~inside)),
            load.en.eq(moves),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += inside.eq(~self.i.payload.packet.last)
        a, b, c = (Signal(_Stage, name=name) for name in "abc")
        with m.If(moves):
            m.d.sync += [
                a.valid.eq(self.i.valid),
                a.first.eq(~inside),
                a.frame.eq(self.i.payload),
                b.eq(a),
                c.eq(b),
                self.o.payload.eq(c.frame),
            ]

        # With a frame's first beat in a, its hash is looked up and its kind told; with that in b
        # and the second in a, its VLAN; and with the first in c all is known of it.
        content = a.frame.packet.data
        function = a.frame.meta.function
        groups = [content[at : at + HASH_BITS] for at in range(0, 48, HASH_BITS)]
        hashed = Cat(reduce(xor, groups), C(HASHES_FROM >> HASH_BITS, _TABLE_BITS - HASH_BITS))
        vlan = Cat(content[56:64], content[48:52], C(0, 1))
        tagged = (content[32:48] == _TAGGED) & ~b.frame.packet.last
        wants = Signal(Modes)
        broadcast, multicast = Signal(), Signal()
        by_kind, by_vlan, passes, passing = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            load.addr.eq(Cat(Mux(a.first, hashed, vlan), function[:bits])),
            passes.eq(Mux(c.first, by_kind & (by_vlan | load.data), passing)),
        ]
        of_kind = Mux(
            broadcast,
            ~wants.no_broadcast,
            Mux(
                multicast,
                ~wants.no_multicast & (load.data | ~wants.hashes | wants.all_multicast),
                ~wants.no_unicast | wants.all_unicast,
            ),
        )
        with m.If(moves):
            m.d.sync += [
                wants.eq(modes[function]),
                broadcast.eq(content[:48].all()),
                multicast.eq(content[0]),
                by_kind.eq(wants.promiscuous | of_kind),
                by_vlan.eq(wants.promiscuous | ~wants.vlans | ~tagged),
                passing.eq(passes),
            ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(moves & c.valid & passes)
        return m

    def _write(self, m, store, bits):
        """A bit of the table, and all from it on."""
        fields = self._table.f
        place, function = Signal(_TABLE_BITS), Signal(3)
        wanted, onward, busy = Signal(), Signal(), Signal()
        m.d.comb += [
            store.addr.eq(Cat(place, function[:bits])),
            store.data.eq(wanted),
            store.en.eq(busy),
            fields.busy.r_data.eq(busy),
        ]
        with m.If(fields.place.w_stb):
            m.d.sync += [
                place.eq(fields.place.w_data),
                function.eq(fields.function.w_data),
                wanted.eq(fields.wanted.w_data),
                onward.eq(fields.onward.w_data),
                busy.eq(1),
            ]
        with m.Elif(busy):
            m.d.sync += [place.eq(place + 1), busy.eq(onward & ~place.all())]

    def _modes(self, m):
        """The modes of all functions."""
        fields = self._mode.f
        modes = Signal(data.ArrayLayout(Modes, 1 << ceil_log2(self.functions)))
        for number in range(self.functions):
            with m.If(~self.ready[number]):
                m.d.sync += modes[number].eq(0)
            with m.Elif(fields.modes.w_stb & (fields.function.w_data == number)):
                m.d.sync += modes[number].eq(fields.modes.w_data)
        return modes
