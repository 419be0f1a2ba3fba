"""Starts and stops queues, and stops functions whose driver broke the rules."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .geometry import Geometry
from .layouts import Fault, QueueCommand, QueueId, QueueOperation
from .messages import ControlKind, Supervision
from .port import AddressWrite

__all__ = ["Commander"]


class Commander(wiring.Component):
    """Tells the parts, one after the other, what becomes of a queue.

    To close a queue it tells all parts to begin nothing new, and repeats that until none has
    anything of the queue under way and the device has given back all chains. A fault stops
    all queues of its function; it is forgotten when the last of them was closed. After reset
    all tables are cleared; commands wait for that.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    commands : In(stream.Signature(QueueCommand))
    done : Out(stream.Signature(QueueId))
    faults : Out(stream.Signature(Fault))
    book : Out(AddressWrite), book_valid : Out(1), book_busy : In(1)
        Addresses for ``RingPort``, when the walker has none.
    parts : Out(Supervision), an array
        Fetcher, used writer, and the puller where there is one.
    enabled : In(1), given : In(10), returned : In(10)
        What fetcher and used writer said, one cycle after they were told.
    quiet : In(1)
        No write is left in ``RingPort``.
    closing : Out(1), closing_row : Out(7)
    clearing : Out(1)
        The tables are not yet clear.
    fault : In(1), fault_function : In(3)
        The scanner has found a fault.
    stopped : Out(8)
        Functions that are faulty.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        parts = 3 if geometry.pulled else 2
        super().__init__(
            {
                "commands": In(stream.Signature(QueueCommand)),
                "done": Out(stream.Signature(QueueId)),
                "faults": Out(stream.Signature(Fault)),
                "book": Out(AddressWrite),
                "book_valid": Out(1),
                "book_busy": In(1),
                "parts": Out(Supervision).array(parts),
                "enabled": In(1),
                "given": In(10),
                "returned": In(10),
                "quiet": In(1),
                "closing": Out(1),
                "closing_row": Out(7),
                "clearing": Out(1, init=1),
                "fault": In(1),
                "fault_function": In(3),
                "stopped": Out(8),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        command = self.commands.p
        row = Signal(7)
        kind = Signal(ControlKind, init=ControlKind.CLEAR)
        high = Signal()
        repeated, was_idle = Signal(), Signal()
        pause = Signal(3)
        m.submodules.running = running = memory.Memory(shape=5, depth=8, init=[])
        idle = Cat(part.idle for part in self.parts).all()
        count, known = running.write_port(), running.read_port(domain="comb")
        function = row[4:7]

        told = Signal(len(self.parts))
        size_log2 = Signal(4)
        for n in range(11):
            with m.If(command.size[n]):
                m.d.comb += size_log2.eq(n)
        for n, part in enumerate(self.parts):
            control = part.control
            m.d.comb += [
                part.stopped.eq(self.stopped),
                control.p.kind.eq(kind),
                control.p.row.eq(row),
                control.p.size_log2.eq(size_log2),
                control.p.interrupt.eq(command.interrupt),
                control.p.vector.eq(command.vector),
                control.p.pulled.eq(command.pulled),
                control.p.event_idx.eq(command.event_idx),
                control.p.indirect.eq(command.indirect),
                control.p.weight.eq(command.weight),
            ]
            with m.If(control.valid & control.ready):
                m.d.sync += told[n].eq(1)
        m.d.comb += [
            self.book.of.index.eq(command.queue.index),
            self.book.of.function.eq(command.queue.function),
            self.book.of.area.eq(command.area.as_value()),
            self.book.high.eq(high),
            self.book.word.eq(Mux(high, command.address[32:], command.address[:32])),
            known.addr.eq(function),
            count.addr.eq(function),
            self.done.p.eq(row),
            self.closing_row.eq(row),
        ]

        forget = Signal(8)
        unsaid = Signal(8)
        is_last = known.data == 1
        with m.FSM():
            with m.State("CLEAR"):
                m.next = "TELL"
                m.d.comb += count.en.eq(1)
            with m.State("IDLE"):
                m.d.sync += [row.eq(command.queue), repeated.eq(0), was_idle.eq(0)]
                with m.If(self.commands.valid), m.Switch(command.operation):
                    with m.Case(QueueOperation.ADDRESS):
                        m.d.comb += [
                            self.book_valid.eq(1),
                            self.commands.ready.eq(high & ~self.book_busy),
                        ]
                        with m.If(~self.book_busy):
                            m.d.sync += high.eq(~high)
                    with m.Case(QueueOperation.ENABLE):
                        m.d.sync += kind.eq(ControlKind.START)
                        m.next = "COUNT"
                    with m.Default():
                        m.d.sync += [kind.eq(ControlKind.STOP), self.closing.eq(1)]
                        m.next = "TELL"
            with m.State("COUNT"):
                m.d.comb += [count.en.eq(1), count.data.eq(known.data + 1)]
                m.next = "TELL"
            with m.State("TELL"):
                for n, part in enumerate(self.parts):
                    m.d.comb += part.control.valid.eq(~told[n])
                with m.If(told.all()):
                    m.d.sync += told.eq(0)
                    with m.Switch(kind):
                        with m.Case(ControlKind.CLEAR):
                            m.d.sync += row.eq(row + 1)
                            m.next = "CLEAR"
                            with m.If(row == g.rows - 1):
                                m.d.sync += self.clearing.eq(0)
                                m.next = "IDLE"
                        with m.Case(ControlKind.START):
                            m.d.comb += self.commands.ready.eq(1)
                            m.next = "IDLE"
                        with m.Default():
                            m.next = "CLOSE"
            with m.State("CLOSE"):
                # Twice idle: what became the device's before the first time is in ``given``
                # by the second.
                m.d.sync += [repeated.eq(1), was_idle.eq(idle)]
                with m.If(~repeated & self.enabled):
                    m.d.comb += [
                        count.en.eq(1),
                        count.data.eq(known.data - 1),
                        forget.bit_select(function, 1).eq(is_last),
                    ]
                m.next = "PAUSE"
                with m.If(was_idle & idle & (self.given == self.returned)):
                    m.next = "QUIET"
            with m.State("PAUSE"):
                # What parts are told goes first with them: leave them time for something else.
                m.d.sync += pause.eq(pause + 1)
                with m.If(pause.all()):
                    m.next = "TELL"
            with m.State("QUIET"), m.If(self.quiet):
                m.d.sync += self.closing.eq(0)
                m.d.comb += self.commands.ready.eq(1)
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.valid.eq(1)
                with m.If(self.done.ready):
                    m.next = "IDLE"

        # Each function is looked at in turn; its fault stands until it is taken.
        whose = Signal(3)
        said = Signal(8)
        m.d.comb += [
            self.faults.valid.eq(unsaid.bit_select(whose, 1)),
            self.faults.p.function.eq(whose),
        ]
        with m.If(self.faults.valid):
            m.d.comb += said.eq(self.faults.ready << whose)
        with m.Elif(unsaid.any()):
            m.d.sync += whose.eq(whose + 1)
        found = Signal(8)
        for finder in (*self.parts, self):
            with m.If(finder.fault):
                m.d.comb += found.bit_select(finder.fault_function, 1).eq(1)
        m.d.sync += [
            self.stopped.eq((self.stopped | found) & ~forget),
            unsaid.eq((unsaid | (found & ~self.stopped)) & ~said),
        ]
        return m
