"""Makes frames out of orders, and of the data that was pulled for them."""

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import (
    SECTOR_BYTES,
    Beat,
    BlockOpcode,
    FrameStream,
    PacketStream,
)
from niter.stream import Fifo

from .codec import (
    ETHERTYPE,
    GENERATION_BITS,
    HEADER_BYTES,
    AtaCommand,
    AtaFlag,
    Failure,
    Order,
    TargetRecord,
)
from .query import Question

__all__ = ["ORDERS", "Builder", "octets"]

#: Orders that wait: enough for the host's memory to answer the pulls of some while one is sent.
ORDERS = 16

_SECTOR_BEATS = SECTOR_BYTES // 8


def octets(*fields):
    """Lanes of a beat from values and constants in the order of the wire, each with its bytes."""
    lanes = []
    for value, size in fields:
        value = Value.cast(value) if not isinstance(value, int) else Const(value, 8 * size)
        value = Cat(value, Const(0, 8 * size))[: 8 * size]
        lanes += [value[8 * n :][:8] for n in reversed(range(size))]
    return Cat(*lanes)


class Builder(wiring.Component):
    """Sends a frame for each order, in their order; control's question when there is none.

    A WRITE takes the next packet of ``pull_data``. When that ends in ``error``, so does the
    frame, and the MAC does not send it; its slot is told by ``failure``. A frame takes 9 cycles
    and one for each beat of its data.

    Members
    -------
    i : In(stream.Signature(Order))
        Orders; ``ORDERS`` of them wait here.
    question : In(stream.Signature(Question))
        What control asks.
    pull_data : In(PacketStream)
        Data of the WRITEs, in the order of their orders.
    o : Out(FrameStream)
        Frames. Meta: ``length``, ``port``.
    record : Out, In
        A word of the target table: its address, and a cycle later its content.
    seed : In(24)
        Mixed into the generation.
    source : In(48) for each port
        The card's own addresses.
    built : Out(1)
        An order is done: its data was taken, and its failure told.
    failure : Out(stream.Signature(Failure))
        A frame that will not be sent.
    """

    def __init__(self, ports: int = 1):
        self.ports = ports
        super().__init__(
            {
                "i": In(stream.Signature(Order)),
                "question": In(stream.Signature(Question)),
                "pull_data": In(PacketStream),
                "o": Out(FrameStream),
                "record_addr": Out(6),
                "record_data": In(32),
                "seed": In(GENERATION_BITS),
                "source": In(48).array(ports),
                "built": Out(1),
                "failure": Out(stream.Signature(Failure)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.orders = orders = Fifo(Order, ORDERS)
        order = orders.o.payload
        m.d.comb += [
            orders.i.valid.eq(self.i.valid),
            orders.i.payload.eq(self.i.payload),
            self.i.ready.eq(orders.i.ready),
        ]
        question = self.question.payload
        asking = Signal()
        words = [Signal(32, name=f"record_{n}") for n in range(3)]
        mac_low, mac_high, place = words
        port = Signal(2)
        m.d.comb += port.eq(mac_high[16:18])
        source = Signal(48)
        for n in range(self.ports):
            with m.If(port == n):
                m.d.comb += source.eq(self.source[n])

        writes = Signal()
        zeroes = Signal()
        reads = Signal()
        m.d.comb += [
            zeroes.eq(order.opcode == BlockOpcode.WRITE_ZEROES),
            writes.eq(~asking & ((order.opcode == BlockOpcode.WRITE) | zeroes)),
            reads.eq((order.opcode == BlockOpcode.READ) | (order.opcode == BlockOpcode.VERIFY)),
        ]
        tag = Cat(order.slot, Const(0, 2), order.generation ^ self.seed)
        command = Mux(
            writes, AtaCommand.WRITE_EXT, Mux(reads, AtaCommand.READ_EXT, AtaCommand.FLUSH)
        )
        flags = Signal(8)
        m.d.comb += flags.eq(
            Mux(writes | reads, AtaFlag.EXTENDED, 0) | Mux(writes, AtaFlag.WRITE, 0)
        )
        ata = Cat(octets((flags, 1), (0, 1), (order.sectors, 1)), command, order.lba[:32])
        last_beat = Cat(order.lba[32:] & (~asking).replicate(16), Const(0, 16))

        # A frame's beats stand one behind the other; the data is half a beat behind the header.
        at = Signal(range(5))
        beat = Signal(Beat)
        valid, advance = Signal(), Signal()
        o = self.o.payload
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid), o.packet.eq(beat)]
            with m.If(valid & (at == 0)):
                m.d.sync += [
                    o.meta.length.eq(
                        HEADER_BYTES + Mux(writes, Cat(Const(0, 9), order.sectors), 0)
                    ),
                    o.meta.port.eq(port),
                ]
        held = Signal(32)
        left = Signal(range(16 * _SECTOR_BEATS + 1))
        failed = Signal()
        data = Mux(zeroes, 0, self.pull_data.payload.data)
        m.d.comb += [
            beat.data.eq(Cat(held, data[:32])),
            self.failure.payload.slot.eq(order.slot),
            self.failure.payload.generation.eq(order.generation),
        ]
        target = Mux(asking, question.target, order.target)
        word = Signal(2)
        m.d.comb += self.record_addr.eq(Cat(word, target))
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [word.eq(0), at.eq(0), asking.eq(~orders.o.valid), failed.eq(0)]
                with m.If(orders.o.valid | self.question.valid):
                    m.next = "RECORD"
            with m.State("RECORD"):
                m.d.sync += word.eq(word + 1)
                for n, register in enumerate(words):
                    with m.If(word == n + 1):
                        m.d.sync += register.eq(self.record_data)
                with m.If(word == TargetRecord.PLACE + 1):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += valid.eq(1)
                with m.Switch(at):
                    with m.Case(0):
                        first = ((mac_high[:16], 2), (mac_low, 4), (source[32:], 2))
                        m.d.comb += beat.data.eq(octets(*first))
                    with m.Case(1):
                        rest = ((source[:32], 4), (ETHERTYPE, 2), (1 << 4, 1), (0, 1))
                        m.d.comb += beat.data.eq(octets(*rest))
                    with m.Case(2):
                        code = question.command & asking.replicate(8)
                        named = Mux(asking, question.tag, tag)
                        m.d.comb += beat.data.eq(octets((place[:24], 3), (code, 1), (named, 4)))
                    with m.Case(3):
                        m.d.comb += beat.data.eq(Mux(asking, question.argument, ata))
                with m.If(advance):
                    m.d.sync += at.eq(at + 1)
                    with m.If(at == 3):
                        m.d.sync += [
                            held.eq(last_beat),
                            left.eq(Cat(Const(0, 6), order.sectors)),
                        ]
                        m.next = "LAST"
                        with m.If(writes):
                            m.next = "DATA"
            with m.State("DATA"):
                ends = Mux(zeroes, left == 1, self.pull_data.payload.last)
                broken = ~zeroes & self.pull_data.payload.last & self.pull_data.payload.error
                m.d.comb += [
                    valid.eq(zeroes | self.pull_data.valid),
                    self.pull_data.ready.eq(advance & ~zeroes),
                ]
                with m.If(valid & advance):
                    m.d.sync += [held.eq(data[32:]), left.eq(left - 1), failed.eq(broken)]
                    with m.If(ends):
                        m.next = "LAST"
            with m.State("LAST"):
                m.d.comb += [
                    valid.eq(1),
                    beat.last.eq(1),
                    beat.empty.eq(4),
                    beat.error.eq(failed),
                ]
                with m.If(advance):
                    m.next = "DONE"
                    with m.If(failed):
                        m.next = "FAILED"
            with m.State("FAILED"):
                m.d.comb += self.failure.valid.eq(1)
                with m.If(self.failure.ready):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [
                    self.built.eq(~asking),
                    orders.o.ready.eq(~asking),
                    self.question.ready.eq(asking),
                ]
                m.next = "IDLE"
        return m
