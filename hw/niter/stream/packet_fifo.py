"""A store-and-forward buffer for whole packets."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.ram import Ram

from .layout import beat_of, sideband_of

__all__ = ["PacketFifo"]


class PacketFifo(wiring.Component):
    """Holds a packet back until its last beat is in, and discards what must not go on.

    A packet that ends in ``error`` disappears. When there is no room, the buffer either holds
    its input back or, with ``drop``, takes the rest of the packet and discards the whole of
    it. A packet longer than the whole buffer is discarded in both modes. What the payload
    has beside its ``packet`` is stored once per packet, as it stands on the last beat, and
    given out with every beat.

    Latency from the last beat in to the first beat out is 3 cycles, 4 with a sideband. One
    beat a cycle, also across packets.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    depth
        Beats of storage, a power of two; one less is the longest packet that fits.
    packets
        Packets that it can hold, a power of two; by default enough for any content.
        Matters only for a payload with a sideband.
    drop
        Never hold the input back.

    Members
    -------
    i : In(stream.Signature(shape))
        Input.
    o : Out(stream.Signature(shape))
        Output; ``error`` is never set.
    level : Out(range(depth + 1))
        Beats in storage, those of an unfinished packet included.
    overflow : Out(1)
        High for one cycle for each packet discarded for lack of room.
    discarded : Out(1)
        High for one cycle for each packet discarded because it ended in ``error``.

    Raises
    ------
    TypeError
        ``shape`` holds no ``Beat``.
    ValueError
        A depth is not a power of two, or less than 4.
    """

    def __init__(self, shape: Any, depth: int, *, packets: int | None = None, drop: bool = False):
        self.sideband = sideband_of(shape)
        packets = depth if packets is None else packets
        for value in (depth, packets):
            if value < 4 or value & (value - 1):
                raise ValueError(f"Depth must be a power of two from 4 up, not {value!r}")
        self.shape = shape
        self.depth = depth
        self.packets = packets
        self.drop = drop
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
                "overflow": Out(1),
                "discarded": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i_beat = beat_of(self.i.payload)
        o_beat = beat_of(self.o.payload)
        bits = ceil_log2(self.depth)
        # Errors never get into storage, so the bit need not either.
        stored = data.StructLayout({"data": 64, "empty": 3, "last": 1})
        m.submodules.beats = beats = Ram(shape=stored, depth=self.depth, init=[])
        write = beats.write_port()
        read = beats.read_port()

        # Pointers have one bit more than an address. Beats from `head` to `committed` may
        # leave, those from there to `tail` belong to the unfinished packet.
        head = Signal(bits + 1)
        committed = Signal(bits + 1)
        tail = Signal(bits + 1)
        room = Signal()
        sideband_room = Signal()
        discarding = Signal()
        overflowing = Signal()
        transfer = Signal()
        commit = Signal()
        m.d.comb += [
            self.level.eq(tail - head),
            transfer.eq(self.i.valid & self.i.ready),
            write.addr.eq(tail),
            write.data.data.eq(i_beat.data),
            write.data.empty.eq(i_beat.empty),
            write.data.last.eq(i_beat.last),
            write.en.eq(transfer),
        ]
        # Registered, and so one beat behind: it looks at the level before this cycle's beat.
        m.d.sync += room.eq((self.level < self.depth - 1) & sideband_room)
        if self.drop:
            m.d.comb += [
                self.i.ready.eq(1),
                overflowing.eq(discarding | (self.i.valid & ~room)),
            ]
        else:
            # Full, and nothing in it could leave: this packet will never fit.
            stuck = Signal()
            m.d.sync += stuck.eq((self.level >= self.depth - 1) & (head == committed))
            m.d.comb += [
                self.i.ready.eq(room | discarding),
                overflowing.eq(discarding | stuck),
            ]

        m.d.comb += commit.eq(transfer & i_beat.last & ~i_beat.error & ~overflowing)
        m.d.sync += [
            self.overflow.eq(transfer & i_beat.last & overflowing),
            self.discarded.eq(transfer & i_beat.last & i_beat.error & ~overflowing),
        ]
        with m.If(overflowing):
            m.d.sync += [tail.eq(committed), discarding.eq(1)]
        with m.Elif(transfer):
            m.d.sync += tail.eq(tail + 1)
        with m.If(transfer & i_beat.last):
            m.d.sync += discarding.eq(0)
            with m.If(i_beat.error):
                m.d.sync += tail.eq(committed)
        with m.If(commit):
            m.d.sync += committed.eq(tail + 1)

        # The way out is a pipeline that moves as one: RAM, then (while the sideband is
        # fetched) one register, then the output.
        advance = Signal()
        available = Signal()
        in_ram = Signal()
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            available.eq(head != committed),
            read.addr.eq(head),
            read.en.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [head.eq(head + available), in_ram.eq(available)]

        ready_beat, ready_valid = read.data, in_ram
        if not self.sideband.size:
            m.d.comb += sideband_room.eq(1)
        else:
            ready_beat, ready_valid = Signal(stored), Signal()
            with m.If(advance):
                m.d.sync += [ready_beat.eq(read.data), ready_valid.eq(in_ram)]
            self._sideband(m, commit, advance, in_ram & read.data.last, sideband_room)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(ready_valid),
                o_beat.data.eq(ready_beat.data),
                o_beat.empty.eq(ready_beat.empty),
                o_beat.last.eq(ready_beat.last),
            ]
        return m

    def _sideband(self, m: Module, commit: Value, advance: Value, done: Value, room: Signal):
        """Store the sideband at ``commit``, and move on to the next packet's when ``done``."""
        m.submodules.sideband = storage = Ram(shape=self.sideband, depth=self.packets, init=[])
        write = storage.write_port()
        read = storage.read_port()
        bits = ceil_log2(self.packets)
        head = Signal(bits + 1)
        tail = Signal(bits + 1)
        level = Signal(bits + 1)
        m.d.comb += [
            level.eq(tail - head),
            write.addr.eq(tail),
            write.en.eq(commit),
            read.addr.eq(head),
            read.en.eq(advance),
        ]
        for name, _ in self.sideband:
            m.d.comb += write.data[name].eq(self.i.payload[name])
            with m.If(advance):
                m.d.sync += self.o.payload[name].eq(read.data[name])
        m.d.comb += room.eq(level < self.packets - 1)
        m.d.sync += tail.eq(tail + commit)
        with m.If(advance & done):
            m.d.sync += head.eq(head + 1)
