"""Write commands are cut into TLPs."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, WriteKind

from .layouts import FunctionStates, Interrupt
from .write_store import StoredWrite

__all__ = ["WriteCutter", "WritePlan"]


class WritePlan(data.Struct):
    """A TLP: what its header says, and where its payload is."""

    #: The address fits 32 bits: three doublewords of header.
    short: 1
    place: 62
    dwords: 7
    first_enables: 4
    last_enables: 4
    function: 3
    #: Where to read, and how far to move.
    word: 10
    rotate: 3
    #: The first beat needs two words.
    ahead: 1
    #: The command ends with it.
    final: 1


class WriteCutter(wiring.Component):
    """Cuts commands at Max_Payload_Size boundaries, and passes interrupts on.

    A TLP carries 128 bytes, or 256 when the function is set to that or more. Pieces after
    the first start at a multiple of the payload size, so none crosses a 4 KiB boundary. A plan
    takes three cycles; the next one is made when the one before it has been accepted.

    When a function loses its permission to send, the rest of its command is dropped at the
    next TLP. An interrupt is passed on when all writes before it have been taken.

    Members
    -------
    i : In(stream of StoredWrite)
        Commands whose payload is in the ring.
    o : Out(stream of WritePlan)
        TLPs.
    base : Out(10)
        Where in the ring the first command that is not cut yet begins.
    drained : In(1)
        No TLP is under way.
    dropped : Out(1)
        Strobe: the rest of a memory write has been dropped.
    interrupt : Out(stream of Interrupt)
        Interrupts.
    asked : In(range(MAX_FUNCTIONS)), holds : Out(1)
        Whether a command or plan of function ``asked`` is here; combinational.
    states : In(FunctionStates)
        See there.
    """

    i: In(stream.Signature(StoredWrite))
    o: Out(stream.Signature(WritePlan))
    base: Out(10)
    drained: In(1)
    dropped: Out(1)
    interrupt: Out(stream.Signature(Interrupt))
    asked: In(range(MAX_FUNCTIONS))
    holds: Out(1)
    states: In(FunctionStates)

    def elaborate(self, platform):  # noqa: D102
        m = Module()

        # One command waits while another is cut into TLPs.
        staged = Signal(StoredWrite)
        staged_valid = Signal()
        load = Signal()
        stored = Signal(StoredWrite)
        command = stored.command
        working = Signal()
        m.d.comb += self.i.ready.eq(~staged_valid | load)
        with m.If(self.i.ready):
            m.d.sync += [staged.eq(self.i.payload), staged_valid.eq(self.i.valid)]
        with m.If(load):
            m.d.sync += stored.eq(staged)

        # Progress is counted in blocks of 128 bytes from the one that holds the first byte.
        piece = Signal(6)
        reach = Signal(13)
        block = Signal(6)
        following = Signal(7)
        page = Signal(52)
        base = self.base
        offset = Signal(10)
        state = self.states[command.function]
        first = Signal()
        last = Signal()
        start = Signal(7)
        stop = Signal(8)
        short = Signal()
        m.d.comb += [
            first.eq(piece == 0),
            last.eq(reach[7:] < following),
            start.eq(Mux(first, command.address[:7], 0)),
            stop.eq(
                Cat(
                    Mux(last, reach[:7], 0x7F),
                    (Mux(last, reach[7:], following - 1) - piece)[0],
                )
            ),
            short.eq(page[20:] == 0),
        ]
        # At which lane the payload begins in the ring, and at which in its first beat.
        lane, to = Signal(3), Signal(3)
        m.d.comb += [
            lane.eq(Mux(first, command.lane, command.lane - command.address[:3])),
            to.eq(Cat(command.address[:2] & first.replicate(2), short)),
        ]

        plan, drained = self.o.payload, Signal()
        m.d.comb += drained.eq(self.drained & ~self.o.valid)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM() as fsm:
            m.d.comb += working.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += piece.eq(0)
                with m.If(staged_valid):
                    m.d.comb += load.eq(1)
                    m.next = "OPEN"
                    with m.If(staged.command.kind == WriteKind.INTERRUPT):
                        m.next = "INTERRUPT"
            with m.State("OPEN"):
                m.d.sync += [
                    reach.eq(command.address[:7] + command.length - 1),
                    block.eq(command.address[7:12] + piece),
                    offset.eq(
                        Cat(Const(0, 4), piece) - ((command.address[:7] + ~command.lane) >> 3)
                    ),
                ]
                m.next = "CUT"
            with m.State("CUT"):
                m.d.sync += [
                    page.eq(command.address[12:] + block[5]),
                    following.eq(piece + 1 + (state.payload & ~block[0])),
                ]
                m.next = "PLAN"
            with m.State("PLAN"):
                with m.If(~state.master):
                    m.next = "DROP"
                with m.Elif(~self.o.valid):
                    m.d.sync += [
                        self.o.valid.eq(1),
                        plan.short.eq(short),
                        plan.place.eq(Cat(start[2:], block[:5], page)),
                        plan.dwords.eq(stop[2:] - start[2:] + 1),
                        plan.first_enables.eq(0b1111 << start[:2]),
                        plan.last_enables.eq(0b1111 >> ~stop[:2]),
                        plan.function.eq(command.function),
                        plan.word.eq(base + Mux(first, 0, offset)),
                        plan.rotate.eq(to - lane),
                        plan.ahead.eq(lane > to),
                        plan.final.eq(last),
                        piece.eq(following),
                    ]
                    m.next = "OPEN"
                    with m.If(last):
                        m.d.sync += base.eq(stored.end)
                        m.next = "IDLE"
            with m.State("DROP"), m.If(drained):
                m.d.comb += self.dropped.eq(1)
                m.d.sync += base.eq(stored.end)
                m.next = "IDLE"
            with m.State("INTERRUPT"), m.If(drained):
                m.next = "IDLE"
                with m.If(state.master):
                    m.next = "RAISE"
            with m.State("RAISE"):
                m.d.comb += self.interrupt.valid.eq(1)
                with m.If(self.interrupt.ready):
                    m.next = "IDLE"
        m.d.comb += [
            self.interrupt.payload.function.eq(command.function),
            self.interrupt.payload.vector.eq(command.vector),
        ]
        m.d.comb += self.holds.eq(
            (self.i.valid & (self.i.payload.command.function == self.asked))
            | (staged_valid & (staged.command.function == self.asked))
            | (working & (command.function == self.asked))
            | (self.o.valid & (plan.function == self.asked))
        )
        return m
