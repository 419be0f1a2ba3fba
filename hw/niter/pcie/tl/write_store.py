"""Write commands and their payload come together in one queue."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, HostWrite, WriteCommand, WriteKind

from .choice import register_one_of
from .count import increment
from .layouts import FunctionStates
from .order import MAX_WRITE_PORTS, WriteOrder
from .turn import Turn

__all__ = ["RING_WORDS", "StoredWrite", "WriteStore"]

#: Words of the payload ring: a packet of 4 KiB fits, whole.
RING_WORDS = 512


class StoredWrite(data.Struct):
    """A command, and where in the ring its payload ends: that of the next one begins there."""

    command: WriteCommand
    end: 10


class WriteStore(wiring.Component):
    """Takes one packet after another, and its command with it when it is good.

    Each port keeps one command; whether the command or its data comes first does not matter.
    Ports take weighted turns, packet by packet. Payload goes into a ring; only when its last
    beat is in and good, and the function may send, does the command go on. A packet that
    ends with ``error``, or is of a function that may not send, is forgotten. A packet takes
    three cycles more than its beats, an interrupt four.

    Parameters
    ----------
    weights
        Commands per turn of each port; at most four ports.

    Members
    -------
    write : array of In(HostWrite)
        The ports.
    ring : In(memory.WritePort.Signature)
        Write port of the payload ring.
    freed : In(10)
        The ring is free from here on: a pointer that went round once more has bit 9 flipped.
    o : Out(stream of StoredWrite)
        Commands whose payload, if they have any, is complete in the ring.
    retired : In(1)
        All of the oldest memory write in the queue has left, or has been dropped.
    asked : In(range(MAX_FUNCTIONS)), holds : Out(1)
        Whether a command of function ``asked`` has been taken from its port and is still
        here; combinational.
    order : Out(WriteOrder)
        How far the writes have come.
    states : In(FunctionStates)
        See there.
    """

    def __init__(self, weights: Sequence[int]):
        self._weights = tuple(weights)
        if not 1 <= len(self._weights) <= MAX_WRITE_PORTS:
            raise ValueError(f"There are 1 to 4 write ports, not {len(self._weights)}")
        super().__init__(
            {
                "write": In(HostWrite).array(len(self._weights)),
                "ring": In(memory.WritePort.Signature(addr_width=9, shape=64)),
                "freed": In(10),
                "o": Out(stream.Signature(StoredWrite)),
                "retired": In(1),
                "asked": In(range(MAX_FUNCTIONS)),
                "holds": Out(1),
                "order": Out(WriteOrder),
                "states": In(FunctionStates),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        ports = len(self._weights)
        m.submodules.turn = turn = Turn(self._weights)

        # Each port's command, which stays until its packet is dealt with.
        kept = [Signal(WriteCommand, name=f"kept_{p}") for p in range(ports)]
        full = Signal(ports)
        interrupts = Signal(ports)
        done = Signal(ports)
        for p, port in enumerate(self.write):
            m.d.comb += [
                port.command.ready.eq(~full[p]),
                interrupts[p].eq(kept[p].kind == WriteKind.INTERRUPT),
                turn.request[p].eq((full[p] & interrupts[p]) | port.data.valid),
            ]
            with m.If(~full[p]):
                m.d.sync += [kept[p].eq(port.command.payload), full[p].eq(port.command.valid)]
            with m.If(done[p]):
                m.d.sync += full[p].eq(0)

        # Command and data of the port in work.
        port = Signal(ports)
        command = Signal(WriteCommand)
        loaded = Signal()
        m.d.sync += loaded.eq((full & port & ~done).any())
        m.d.comb += [
            command.eq(register_one_of(m, "command", 1, zip(port, kept, strict=True))),
            self.ring.data.eq(
                register_one_of(
                    m,
                    "word",
                    1,
                    ((port[p], each.data.payload.data) for p, each in enumerate(self.write)),
                )
            ),
        ]
        valid, last, error = Signal(), Signal(), Signal()
        for p, source in enumerate(self.write):
            with m.If(port[p]):
                m.d.comb += [
                    valid.eq(source.data.valid),
                    last.eq(source.data.payload.last),
                    error.eq(source.data.payload.error),
                ]

        # The ring: ``begin`` is where the packet in work starts.
        begin = Signal(10)
        place = Signal(10)
        room = Signal()
        filled = Signal()
        spoiled = Signal()
        filling = Signal()
        m.d.comb += room.eq((place[:9] != self.freed[:9]) | (place[9] == self.freed[9]))
        m.d.sync += [
            self.ring.addr.eq(place),
            self.ring.en.eq(filling & room & valid),
        ]
        for p, source in enumerate(self.write):
            m.d.comb += source.data.ready.eq(filling & room & port[p])

        allowed = Signal()
        memory_write = Signal()
        m.d.comb += [
            allowed.eq(self.states[command.function].master),
            memory_write.eq(command.kind == WriteKind.MEMORY),
            self.o.payload.command.eq(command),
            self.o.payload.end.eq(begin),
            self.holds.eq(
                Cat(full[p] & (kept[p].function == self.asked) for p in range(ports)).any()
            ),
        ]
        for p in range(ports):
            with m.If(self.order.last[p] == self.order.retired):
                m.d.sync += self.order.waiting[p].eq(0)
        with m.If(self.retired):
            m.d.sync += self.order.retired.eq(self.order.retired + 1)

        with m.FSM():
            with m.State("PICK"):
                # `command` is still that of the port before.
                m.d.sync += [place.eq(begin), filled.eq(0), port.eq(1 << turn.grant), loaded.eq(0)]
                with m.If(turn.valid):
                    m.d.comb += turn.take.eq(1)
                    m.next = "FILL"
                    with m.If((full & interrupts).bit_select(turn.grant, 1)):
                        m.next = "JUDGE"
            with m.State("FILL"):
                m.d.comb += filling.eq(1)
                with m.If(valid & room):
                    m.d.sync += place.eq(increment(place))
                    with m.If(last):
                        m.d.sync += [filled.eq(1), spoiled.eq(error)]
                        m.next = "JUDGE"
            with m.State("JUDGE"), m.If(loaded):
                m.next = "QUEUE"
                with m.If(~allowed | (memory_write & spoiled)):
                    m.d.comb += done.eq(port)
                    m.next = "PICK"
                    with m.If(filled & ~memory_write):
                        m.next = "JUDGE"
                with m.Elif(memory_write):
                    number = (self.order.accepted + 1)[:3]
                    m.d.sync += [
                        begin.eq(place),
                        self.order.accepted.eq(number),
                    ]
                    for p in range(ports):
                        with m.If(port[p]):
                            m.d.sync += [
                                self.order.last[p].eq(number),
                                self.order.waiting[p].eq(1),
                            ]
            with m.State("QUEUE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += done.eq(port)
                    m.next = "PICK"
                    # The payload ran ahead of the interrupt: its own command is still to come.
                    with m.If(filled & ~memory_write):
                        m.next = "JUDGE"
        return m
