"""Write commands become memory write requests."""

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream, WriteCommand, WriteKind

from .header import Identifier, RequestHead, TlpFormat, TlpType, swap_dwords
from .lanes import LaneShifter
from .layouts import FunctionStates, Interrupt, LinkState

__all__ = ["WriteSender"]


class _Plan(data.Struct):
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


class _Step(data.Struct):
    """One beat on its way through the pipeline."""

    valid: 1
    head: 1
    tail: 1
    last: 1
    empty: 1
    rotate: 3
    final: 1
    function: 3


class WriteSender(wiring.Component):
    """Cuts commands at Max_Payload_Size boundaries and sends a TLP for each piece.

    A TLP carries 128 bytes, or 256 when the function is set to that or more. Pieces after
    the first start at a multiple of the payload size, so none crosses a 4 KiB boundary. The
    next TLP is planned while the one before it streams; beats of one TLP follow each other
    without a gap, and TLPs too when they are six beats or longer. The pipeline is six stages
    long.

    When a function loses its permission to send, the rest of its command is dropped at the
    next TLP. An interrupt is passed on when all writes before it have been taken.

    Members
    -------
    i : In(stream of WriteCommand)
        Commands whose payload is in the ring.
    word_addr : Out(9), word_en : Out(1), word : In(64)
        Read port of the ring; one cycle later.
    freed : Out(10)
        What is before here in the ring is not needed any more.
    retired : Out(1)
        Strobe: all of the oldest memory write has been taken, or dropped.
    o : Out(PacketStream)
        Memory write requests.
    interrupt : Out(stream of Interrupt)
        Interrupts.
    asked : In(range(MAX_FUNCTIONS)), holds : Out(1)
        Whether a command or a TLP of function ``asked`` is here; combinational.
    states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    i: In(stream.Signature(WriteCommand))
    word_addr: Out(9)
    word_en: Out(1)
    word: In(64)
    freed: Out(10)
    retired: Out(1)
    o: Out(PacketStream)
    interrupt: Out(stream.Signature(Interrupt))
    asked: In(range(MAX_FUNCTIONS))
    holds: Out(1)
    states: In(FunctionStates)
    link: In(LinkState)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        ready = Signal()

        # One command waits while another is cut into TLPs.
        staged = Signal(WriteCommand)
        staged_valid = Signal()
        load = Signal()
        command = Signal(WriteCommand)
        working = Signal()
        m.d.comb += self.i.ready.eq(~staged_valid | load)
        with m.If(self.i.ready):
            m.d.sync += [staged.eq(self.i.payload), staged_valid.eq(self.i.valid)]
        with m.If(load):
            m.d.sync += command.eq(staged)

        # Progress is counted in blocks of 128 bytes from the one that holds the first byte.
        piece = Signal(6)
        reach = Signal(13)
        block = Signal(6)
        following = Signal(7)
        page = Signal(52)
        base = Signal(10)
        offset = Signal(10)
        state = self.states[command.function]
        lanes = command.address[:3]
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

        plan = Signal(_Plan)
        planned = Signal()
        pending = Signal()
        drained = Signal()
        begin = Signal()
        dropped = Signal()
        words = Signal(10)
        m.d.comb += words.eq((command.length + 7) >> 3)
        with m.If(begin):
            m.d.sync += planned.eq(0)
        with m.FSM() as fsm:
            m.d.comb += working.eq(~fsm.ongoing("IDLE"))
            with m.State("IDLE"):
                m.d.sync += piece.eq(0)
                with m.If(staged_valid):
                    m.d.comb += load.eq(1)
                    m.next = "OPEN"
                    with m.If(staged.kind == WriteKind.INTERRUPT):
                        m.next = "INTERRUPT"
            with m.State("OPEN"):
                m.d.sync += [
                    reach.eq(command.address[:7] + command.length - 1),
                    block.eq(command.address[7:12] + piece),
                    offset.eq(Cat(Const(0, 4), piece) - ((command.address[:7] + 7) >> 3)),
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
                with m.Elif(~planned & ~pending):
                    m.d.sync += [
                        planned.eq(1),
                        plan.short.eq(short),
                        plan.place.eq(Cat(start[2:], block[:5], page)),
                        plan.dwords.eq(stop[2:] - start[2:] + 1),
                        plan.first_enables.eq(0b1111 << start[:2]),
                        plan.last_enables.eq(0b1111 >> ~stop[:2]),
                        plan.function.eq(command.function),
                        plan.word.eq(base + Mux(first, 0, offset)),
                        plan.rotate.eq(Cat(lanes[:2], short ^ (lanes[2] & ~first))),
                        plan.ahead.eq(
                            ~first & Mux(short, ~lanes[2] & (lanes[:2] != 0), lanes != 0)
                        ),
                        plan.final.eq(last),
                        piece.eq(following),
                    ]
                    m.next = "OPEN"
                    with m.If(last):
                        m.d.sync += base.eq(base + words)
                        m.next = "IDLE"
            with m.State("DROP"), m.If(drained):
                m.d.comb += dropped.eq(1)
                m.d.sync += [base.eq(base + words), self.freed.eq(base + words)]
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

        # One beat a cycle. Words are read from the first one that the payload needs, one
        # beat early if the first beat of payload is made of two.
        steps = [Signal(_Step, name=f"step_{stage}") for stage in range(6)]
        active = Signal()
        run = Signal(_Step)
        short_run = Signal()
        ahead = Signal()
        step = steps[0]
        left = Signal(7)
        odd = Signal()
        word = Signal(9)
        final = Signal()
        ending = Signal()
        m.d.comb += [
            step.eq(run),
            step.valid.eq(active),
            final.eq(active & (left == 1)),
            step.last.eq(final),
            step.empty.eq(final & odd),
            ending.eq(ready & final),
            begin.eq(planned & ready & (~active | final)),
            self.word_addr.eq(word),
            self.word_en.eq(ready),
        ]
        with m.If(ready & active):
            m.d.sync += [left.eq(left - 1), run.head.eq(0), run.tail.eq(run.head)]
            with m.If(Mux(step.head, short_run & ahead, ~step.tail | short_run | ahead)):
                m.d.sync += word.eq(word + 1)
        with m.If(ending):
            m.d.sync += active.eq(0)
            with m.If(step.final):
                m.d.sync += self.freed.eq(base)
        with m.If(begin):
            m.d.sync += [
                active.eq(1),
                pending.eq(1),
                short_run.eq(plan.short),
                ahead.eq(plan.ahead),
                left.eq((plan.dwords + 5 - plan.short) >> 1),
                odd.eq(plan.dwords[0] ^ plan.short),
                word.eq(plan.word),
                self.freed.eq(plan.word),
                run.head.eq(1),
                run.tail.eq(0),
                run.rotate.eq(plan.rotate),
                run.final.eq(plan.final),
                run.function.eq(plan.function),
            ]

        # The header of the beats that leave the shifter.
        m.submodules.shifter = shifter = LaneShifter()
        header = Signal(_Plan)
        head = Signal(RequestHead)
        single = Signal()
        with m.If(ready & steps[3].valid & steps[3].head):
            m.d.sync += [header.eq(plan), pending.eq(0)]
        m.d.comb += [
            shifter.enable.eq(ready),
            shifter.i.eq(self.word),
            shifter.rotate.eq(steps[1].rotate),
            single.eq(header.dwords == 1),
            head.common.length.eq(header.dwords),
            head.common.type.eq(TlpType.MEMORY),
            head.common.fmt.eq(Mux(header.short, TlpFormat.THREE_DATA, TlpFormat.FOUR_DATA)),
            head.first_enables.eq(
                Mux(single, header.first_enables & header.last_enables, header.first_enables)
            ),
            head.last_enables.eq(Mux(single, 0, header.last_enables)),
            Identifier(head.requester).function.eq(header.function),
            Identifier(head.requester).device.eq(self.link.device),
            Identifier(head.requester).bus.eq(self.link.bus),
        ]
        low = Cat(0, 0, header.place[:30])
        high = header.place[30:]
        moved = Signal(64)
        leaving = steps[4]
        m.d.comb += moved.eq(shifter.o)
        with m.If(leaving.head):
            m.d.comb += moved.eq(swap_dwords(head))
        with m.Elif(leaving.tail):
            m.d.comb += moved[:32].eq(swap_dwords(Mux(header.short, low, high)))
            with m.If(~header.short):
                m.d.comb += moved[32:].eq(swap_dwords(low))

        out = steps[5]
        moved_data = Signal(64)
        with m.If(ready):
            for stage, after in pairwise(steps):
                m.d.sync += after.eq(stage)
            m.d.sync += moved_data.eq(moved)
        m.d.comb += [
            ready.eq(~out.valid | self.o.ready),
            self.o.valid.eq(out.valid),
            self.o.payload.data.eq(moved_data),
            self.o.payload.last.eq(out.last),
            self.o.payload.empty.eq(Cat(0, 0, out.empty)),
            drained.eq(~Cat(planned, (stage.valid for stage in steps)).any()),
            self.retired.eq(dropped | (out.valid & self.o.ready & out.last & out.final)),
            self.holds.eq(
                (self.i.valid & (self.i.payload.function == self.asked))
                | (staged_valid & (staged.function == self.asked))
                | (working & (command.function == self.asked))
                | (planned & (plan.function == self.asked))
                | Cat(s.valid & (s.function == self.asked) for s in steps).any()
            ),
        ]
        return m
