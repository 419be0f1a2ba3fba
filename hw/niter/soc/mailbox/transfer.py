"""What the CPU orders: copies between host memory and the window, and replies."""

from amaranth import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import (
    BEAT_BYTES,
    MAX_FUNCTIONS,
    MAX_MESSAGE_BYTES,
    MAX_TRANSFER_BYTES,
    Beat,
    HostRead,
    HostWrite,
    MessageBeat,
    WriteKind,
)
from niter.ram import Ram
from niter.soc.registers import bridge_of

__all__ = ["Operation", "Result", "Transfer"]

_BEATS = MAX_TRANSFER_BYTES // BEAT_BYTES
_WORD_BYTES = 4


class Operation(enum.Enum, shape=2):
    """What is ordered."""

    FROM_HOST = 0
    TO_HOST = 1
    REPLY = 2


class Result(enum.Enum, shape=2):
    """How the last order ended."""

    DONE = 0
    FAILED = 1
    REFUSED = 2


class Transfer(wiring.Component):
    """Carries out one order at a time, so that a reply stays behind the data before it.

    Each uses the window from its beginning: 4 KiB of card memory, which software reads and
    writes in words while no order is under way. A beat of a copy from the host takes a cycle,
    one of the others two.

    Parameters
    ----------
    ports
        Engines.
    functions
        Of all of them together.
    copies
        There is a copier. Without it orders for copies are refused, of the window there is the
        first word alone, and a reply has four bytes at most.

    Members
    -------
    read : Out(HostRead), write : Out(HostWrite)
        Host memory, with a copier.
    o : array of Out(stream.Signature(MessageBeat))
        Replies to the engines.
    reset : In(8)
        Functions in reset: orders for them are refused.
    generation : In(8), an array over functions
        Orders for another generation are refused.
    working : Out(8)
        The function that an order is under way for, one bit.
    bus, window : In(csr.Signature)
        Registers, and the window.
    """

    class Target(csr.Register, access="w"):
        """For whom the next order is, as the request's first word had it."""

        kind: csr.Field(csr.action.WO, 8, doc="REPLY: what the engine is told.")
        function: csr.Field(csr.action.WO, 8)
        source: csr.Field(csr.action.WO, 8, doc="The engine.")
        generation: csr.Field(csr.action.WO, 8)

    class Tag(csr.Register, access="w"):
        """Which request a reply answers."""

        tag: csr.Field(csr.action.WO, 16)

    class AddressLow(csr.Register, access="w"):
        """Host address, low half."""

        value: csr.Field(csr.action.WO, 32)

    class AddressHigh(csr.Register, access="w"):
        """Host address, high half."""

        value: csr.Field(csr.action.WO, 32)

    class Order(csr.Register, access="w"):
        """Begins; ignored while ``busy``."""

        operation: csr.Field(csr.action.W, Operation)
        length: csr.Field(csr.action.W, 13, doc="Bytes: 1 to 4096, or 72 for a reply.")

    class Status(csr.Register, access="r"):
        """How it goes."""

        busy: csr.Field(csr.action.R, 1)
        result: csr.Field(csr.action.R, Result, doc="Of the last order.")

    def __init__(self, ports: int, functions: int, *, copies: bool = True):
        self.ports = ports
        self.functions = functions
        self.copies = copies
        self._target, self._tag = self.Target(), self.Tag()
        self._low, self._high = self.AddressLow(), self.AddressHigh()
        self._order, self._status = self.Order(), self.Status()
        self._bridge = bridge_of(
            {
                "target": self._target,
                "tag": self._tag,
                "address_low": self._low,
                "address_high": self._high,
                "order": self._order,
                "status": self._status,
            }
        )
        window = csr.MemoryMap(addr_width=10)
        doc = "The window. It reads as zero, and is not written, while an order is under way."
        window.add_resource(csr.WordArray(1 << 10, doc, access="rw"), name="words", size=1 << 10)
        super().__init__(
            {
                **({"read": Out(HostRead), "write": Out(HostWrite)} if copies else {}),
                "o": Out(stream.Signature(MessageBeat)).array(ports),
                "reset": In(MAX_FUNCTIONS),
                "generation": In(8).array(functions),
                "working": Out(MAX_FUNCTIONS),
                "bus": In(csr.Signature(addr_width=self._bridge.bus.addr_width)),
                "window": In(csr.Signature(addr_width=10)),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map
        self.window.memory_map = window

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.bus), self._bridge.bus)
        busy, at = Signal(), Signal(range(_BEATS))
        loaded, loads = Signal(64), Signal()
        stored = self._window(m, busy, at, loaded, loads) if self.copies else self._word(m, busy)

        target = self._target.f
        order = self._order.f
        function = target.function.data[:3]
        left = Signal(13)
        result = Signal(Result)
        final = left <= BEAT_BYTES
        m.d.comb += [
            self._status.f.busy.r_data.eq(busy),
            self._status.f.result.r_data.eq(result),
            self.working.eq(busy << function),
        ]

        packet = Signal(Beat)
        m.d.comb += [
            packet.data.eq(stored),
            packet.last.eq(final),
            packet.empty.eq(Mux(final, (0 - left)[:3], 0)),
        ]
        taken, length = Signal(), Signal(7)
        chosen = Signal(max(1, (self.ports - 1).bit_length()))
        sending = Signal()
        m.d.comb += chosen.eq(target.source.data)
        for number, port in enumerate(self.o):
            header = port.payload.header
            m.d.comb += [
                port.payload.packet.eq(packet),
                header.function.eq(function),
                header.kind.eq(target.kind.data),
                header.tag.eq(self._tag.f.tag.data),
                header.length.eq(length),
            ]
            with m.If(chosen == number):
                m.d.comb += [port.valid.eq(sending), taken.eq(sending & port.ready)]

        reply = Signal()
        with m.FSM():
            with m.State("IDLE"):
                replies = order.operation.w_data == Operation.REPLY
                m.d.sync += [
                    left.eq(order.length.w_data),
                    length.eq(order.length.w_data),
                    at.eq(0),
                    reply.eq(replies),
                ]
                longest = _WORD_BYTES
                if self.copies:
                    longest = Mux(replies, MAX_MESSAGE_BYTES, MAX_TRANSFER_BYTES)
                good = (
                    (replies | C(self.copies, 1))
                    & (target.function.data < self.functions)
                    & (target.source.data < self.ports)
                    & ~self.reset.bit_select(function, 1)
                    & (Array(self.generation)[function] == target.generation.data)
                    & (order.length.w_data != 0)
                    & (order.length.w_data <= longest)
                )
                with m.If(self._order.w_stb):
                    m.d.sync += result.eq(Mux(good, Result.DONE, Result.REFUSED))
                    with m.If(good), m.Switch(order.operation.w_data):
                        with m.Case(Operation.REPLY):
                            m.next = "FETCH"
                        if self.copies:
                            with m.Case(Operation.FROM_HOST):
                                m.next = "READ"
                            with m.Case(Operation.TO_HOST):
                                m.next = "WRITE"
            # The window's memory takes a cycle.
            with m.State("FETCH"):
                m.d.comb += busy.eq(1)
                m.next = "SEND"
            with m.State("SEND"):
                accepted = Mux(reply, taken, self.write.data.ready) if self.copies else taken
                m.d.comb += [busy.eq(1), sending.eq(reply)]
                with m.If(accepted):
                    m.d.sync += [at.eq(at + 1), left.eq(left - BEAT_BYTES)]
                    m.next = "FETCH"
                    with m.If(final):
                        m.next = "IDLE"
                if self.copies:
                    m.d.comb += self.write.data.valid.eq(~reply)
            if self.copies:
                self._copies(m, function, busy, at, left, final, result, loads)
                m.d.comb += [
                    self.write.data.payload.eq(packet),
                    loaded.eq(self.read.answer.payload.packet.data),
                ]
        return m

    def _copies(self, m, function, busy, at, left, final, result, loads):
        """States of a copy, up to the data of one to the host."""
        # Software leaves target and address alone while busy: they go out as they are.
        address = Cat(self._low.f.value.data, self._high.f.value.data)
        read, write, answer = self.read.command, self.write.command, self.read.answer
        for command in (read, write):
            m.d.comb += [
                command.payload.address.eq(address),
                command.payload.length.eq(left),
                command.payload.function.eq(function),
            ]
        m.d.comb += write.payload.kind.eq(WriteKind.MEMORY)
        with m.State("READ"):
            m.d.comb += [busy.eq(1), read.valid.eq(1)]
            with m.If(read.ready):
                m.next = "ANSWER"
        with m.State("ANSWER"):
            m.d.comb += [busy.eq(1), answer.ready.eq(1), loads.eq(answer.valid & (left != 0))]
            with m.If(answer.valid):
                m.d.sync += [at.eq(at + 1), left.eq(Mux(final, 0, left - BEAT_BYTES))]
                with m.If(answer.payload.packet.last):
                    whole = final & ((0 - left)[:3] == answer.payload.packet.empty)
                    with m.If(answer.payload.packet.error | ~whole):
                        m.d.sync += result.eq(Result.FAILED)
                    m.next = "IDLE"
        with m.State("WRITE"):
            m.d.comb += [busy.eq(1), write.valid.eq(1)]
            with m.If(write.ready):
                m.next = "FETCH"

    def _word(self, m, busy):
        """All that there is of the window without a copier; returns it as a beat."""
        word = Signal(8 * _WORD_BYTES)
        bus = self.window
        with m.If(bus.w_stb & ~busy & (bus.addr == 0)):
            m.d.sync += word.eq(bus.w_data)
        return word

    def _window(self, m, busy, at, loaded, loads):
        """The window's memory; returns the beat at ``at``, a cycle late."""
        halves = []
        shown = Signal()
        upper = Signal()
        bus = self.window
        m.d.sync += [shown.eq(bus.r_stb & ~busy), upper.eq(bus.addr[0])]
        for number in range(2):
            storage = Ram(shape=32, depth=_BEATS, init=[])
            m.submodules[f"window_{number}"] = storage
            read, write = storage.read_port(), storage.write_port()
            place = Mux(busy, at, bus.addr[1:])
            m.d.comb += [
                read.addr.eq(place),
                read.en.eq(1),
                write.addr.eq(place),
                write.data.eq(Mux(busy, loaded.word_select(number, 32), bus.w_data)),
                write.en.eq(Mux(busy, loads, bus.w_stb & (bus.addr[0] == number))),
            ]
            halves.append(read.data)
        m.d.comb += bus.r_data.eq(Mux(upper, halves[1], halves[0]) & shown.replicate(32))
        return Cat(halves)
