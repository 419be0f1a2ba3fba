"""A store-and-forward buffer for whole packets."""

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter.interface import BEAT_BYTES
from niter.ram import BankedRam, Ram

from .layout import beat_of, sideband_of

__all__ = ["PacketFifo"]


def _pack(octets: Value, empty: Value, last: Value) -> Value:
    """A beat in nine-bit lanes."""
    framing = [last, *empty, *Const(0, BEAT_BYTES - 4)]
    return Cat(Cat(octets.word_select(n, 8), framing[n]) for n in range(BEAT_BYTES))


def _unpack(word: Value) -> tuple[Value, Value, Value]:
    """Data, ``empty`` and ``last`` of a beat in nine-bit lanes."""
    lanes = [word.word_select(n, 9) for n in range(BEAT_BYTES)]
    return Cat(lane[:8] for lane in lanes), Cat(lane[8] for lane in lanes[1:4]), lanes[0][8]


class PacketFifo(wiring.Component):
    """Holds a packet back until its last beat is in, and discards what must not go on.

    A packet that ends in ``error`` disappears. When there is no room, the buffer either holds
    its input back or, with ``drop``, takes the rest of the packet and discards the whole of
    it. A packet longer than the whole buffer is discarded in both modes. What the payload
    has beside its ``packet`` is stored once per packet, as it stands on the last beat, and
    given out with every beat.

    With ``amend``, a good packet that has come in whole waits, with ``whole`` high and the input
    held back, while words of it may be overwritten, until ``release``.

    Latency from the last beat in (or ``release``) to the first beat out is 3 cycles, 4 with a
    sideband. One beat a cycle, also across packets.

    Parameters
    ----------
    shape
        ``Beat``, or a structure with a field ``packet`` of that shape.
    depth
        Beats of storage, a power of two or three quarters of one; one less is the longest packet
        that fits.
    packets
        Packets that it can hold, a power of two; by default enough for any content.
        Matters only for a payload with a sideband.
    drop
        Never hold the input back for lack of room.
    amend
        Wait for ``release`` behind each good packet.

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
    whole : Out(1)
        With ``amend``: the packet may be amended.
    patch : In({valid, position, value})
        With ``amend``: overwrite the 16 bits that start at byte ``2 * position`` of the packet,
        which must be within it, while ``whole``. ``position`` must have stood for a cycle.
    release : In(1)
        With ``amend``: let the packet go, while ``whole``.

    Raises
    ------
    TypeError
        ``shape`` holds no ``Beat``.
    ValueError
        ``depth`` or ``packets`` is another number, or less than 4.
    """

    def __init__(
        self,
        shape: Any,
        depth: int,
        *,
        packets: int | None = None,
        drop: bool = False,
        amend: bool = False,
    ):
        self.sideband = sideband_of(shape)
        packets = 1 << ceil_log2(depth) if packets is None else packets
        # Addresses without a beat.
        self._gap = (1 << ceil_log2(depth)) - depth
        if depth < 4 or self._gap not in (0, depth / 3):
            raise ValueError(
                f"Depth must be a power of two from 4 up, or three quarters of one, not {depth!r}"
            )
        if packets < 4 or packets & (packets - 1):
            raise ValueError(f"Packets must be a power of two from 4 up, not {packets!r}")
        self.shape = shape
        self.depth = depth
        self.packets = packets
        self.drop = drop
        self.amend = amend
        members = {
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)),
            "level": Out(range(depth + 1)),
            "overflow": Out(1),
            "discarded": Out(1),
        }
        if amend:
            patch = {"valid": 1, "position": ceil_log2(depth) + 2, "value": 16}
            members |= {
                "whole": Out(1),
                "patch": In(data.StructLayout(patch)),
                "release": In(1),
            }
        super().__init__(members)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        i_beat = beat_of(self.i.payload)
        o_beat = beat_of(self.o.payload)
        bits = ceil_log2(self.depth)
        # A byte lane has nine bits, as in an EBR, and the ninth ones hold the framing. Errors
        # never get into storage.
        width = 9 * BEAT_BYTES
        m.submodules.beats = beats = (
            BankedRam(width, self.depth)
            if self._gap
            else Ram(shape=width, depth=self.depth, init=[])
        )
        write = beats.write_port(granularity=9 if self.amend else None)
        read = beats.read_port()

        # Pointers have one bit more than an address. Beats from `head` to `committed` may
        # leave, those from there to `tail` belong to the unfinished packet.
        head = Signal(bits + 1)
        committed = Signal(bits + 1)
        tail = Signal(bits + 1)
        room = Signal(init=1)
        sideband_room = Signal()
        discarding = Signal()
        overflowing = Signal()
        ready = Signal()
        transfer = Signal()
        good = Signal()
        commit = Signal()
        m.d.comb += [
            self.level.eq(self._between(head, tail)),
            transfer.eq(self.i.valid & self.i.ready),
            write.addr.eq(tail),
            write.data.eq(_pack(i_beat.data, i_beat.empty, i_beat.last)),
            write.en.eq((transfer & ~overflowing).replicate(len(write.en))),
        ]
        # Registered, and so one beat behind: it looks at the level before this cycle's beat.
        m.d.sync += room.eq((self.level < self.depth - 1) & sideband_room)
        if self.drop:
            m.d.comb += [
                ready.eq(1),
                overflowing.eq(discarding | (transfer & ~room)),
            ]
        else:
            # Full, and nothing in it could leave: this packet will never fit.
            stuck = Signal()
            unfinished = ~self.whole if self.amend else 1
            full = self.level >= self.depth - 1
            m.d.sync += stuck.eq(full & (head == committed) & unfinished)
            m.d.comb += [
                ready.eq(room | discarding),
                overflowing.eq(discarding | stuck),
            ]

        m.d.comb += good.eq(transfer & i_beat.last & ~i_beat.error & ~overflowing)
        m.d.sync += [
            self.overflow.eq(transfer & i_beat.last & overflowing),
            self.discarded.eq(transfer & i_beat.last & i_beat.error & ~overflowing),
        ]
        with m.If(overflowing):
            m.d.sync += [tail.eq(committed), discarding.eq(1)]
        with m.Elif(transfer):
            m.d.sync += tail.eq(self._after(tail, 1))
        with m.If(transfer & i_beat.last):
            m.d.sync += discarding.eq(0)
            with m.If(i_beat.error):
                m.d.sync += tail.eq(committed)
        if self.amend:
            m.d.comb += [self.i.ready.eq(ready & ~self.whole), commit.eq(self.release)]
            self._amend(m, write, committed, tail)
            with m.If(good | self.release):
                m.d.sync += self.whole.eq(good)
            with m.If(self.release):
                m.d.sync += committed.eq(tail)
        else:
            m.d.comb += [self.i.ready.eq(ready), commit.eq(good)]
            with m.If(good):
                m.d.sync += committed.eq(self._after(tail, 1))

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
            m.d.sync += [head.eq(self._after(head, available)), in_ram.eq(available)]

        ready_word, ready_valid = read.data, in_ram
        ram_last = _unpack(read.data)[2]
        if not self.sideband.size:
            m.d.comb += sideband_room.eq(1)
        else:
            ready_word, ready_valid = Signal.like(read.data), Signal()
            with m.If(advance):
                m.d.sync += [ready_word.eq(read.data), ready_valid.eq(in_ram)]
            self._sideband(m, good, commit, advance, in_ram & ram_last, sideband_room)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(ready_valid),
                Cat(o_beat.data, o_beat.empty, o_beat.last).eq(Cat(_unpack(ready_word))),
            ]
        return m

    def _after(self, pointer: Signal, step: Value | int) -> Value:
        """The pointer one beat on, or where it is."""
        if not self._gap:
            return pointer + step
        bits = len(pointer) - 1
        around = step & (pointer[:bits] == self.depth - 1)
        return Mux(around, Cat(Const(0, bits), ~pointer[bits]), pointer + step)

    def _between(self, head: Signal, tail: Signal) -> Value:
        """Beats from one pointer to the other."""
        if not self._gap:
            return tail - head
        return tail - head - Mux(head[-1] ^ tail[-1], self._gap, 0)

    def _address(self, m: Module, pointer: Signal, beats: Value) -> Value:
        """Where the beat is stored that many behind a pointer. Both have stood for a cycle, and the
        pointer for two."""
        if not self._gap:
            return pointer + beats
        bits = len(pointer) - 1
        rest, place = Signal(bits), Signal(bits)
        m.d.sync += [
            rest.eq(self.depth - pointer[:bits]),
            place.eq(Mux(beats >= rest, beats - rest, pointer[:bits] + beats)),
        ]
        return place

    def _amend(self, m: Module, write: Any, committed: Signal, tail: Signal):
        """Let ``patch`` write while ``whole``."""
        address = Signal(len(write.addr))
        last = Signal(len(write.addr))
        final_empty = Signal(3)
        final = Signal()
        m.d.comb += [
            address.eq(self._address(m, committed, self.patch.position[2:])),
            final.eq(address == last),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [final_empty.eq(beat_of(self.i.payload).empty), last.eq(tail)]
        with m.If(self.whole):
            # Framing bits in the lanes are written again as they are.
            empty = final_empty & final.replicate(3)
            word = _pack(self.patch.value.replicate(4), empty, final)
            lanes = Signal(4)
            m.d.comb += [
                lanes.eq(self.patch.valid << self.patch.position[:2]),
                write.addr.eq(address),
                write.data.eq(word),
                write.en.eq(Cat(lane.replicate(2) for lane in lanes)),
            ]

    def _sideband(
        self, m: Module, store: Value, commit: Value, advance: Value, done: Value, room: Signal
    ):
        """Store the sideband, keep it at ``commit``, go on to the next packet's when ``done``."""
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
            write.en.eq(store),
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
