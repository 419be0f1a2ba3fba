"""What the fetcher does next."""

from amaranth import Module, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .geometry import Geometry
from .layouts import Notification
from .line import Line
from .messages import Answer, Commit, Release

__all__ = ["Agenda", "Event"]


class Event(enum.Enum, shape=3):
    """What there is to do for a row."""

    #: The commander tells something.
    CONTROL = 0
    #: An index or heads have arrived.
    ANSWER = 1
    #: A slot is free again.
    RELEASE = 2
    #: Chains at hand have become the device's.
    COMMIT = 3
    #: The driver rang.
    NOTIFICATION = 4
    #: The row stood in the list.
    TURN = 5


class Agenda(wiring.Component):
    """Picks events one at a time, and keeps the list of rows that wait for their turn.

    Events go in the order of ``Event``, but after a doorbell somebody has his turn, lest a
    driver that keeps ringing stops all. A row stands in the list once; its user sees to that.
    A turn that ended for want of a slot is *held*: it goes on, before the list, after the
    next release, so that weights count where slots are scarce.

    Parameters
    ----------
    geometry
        Size of the engine.

    Members
    -------
    told, told_row : In(1), In(7)
        The commander tells something about a row.
    answer, release, commit, notification : streams
        The other events.
    take : In(1)
        An event is taken in this cycle if there is one.
    valid, event, row : Out
        The next one, if there is any. ``event`` and all below stay after it was taken.
    latest : Out(Answer), hinted : Out(1)
        The ``ANSWER``; of a ``NOTIFICATION`` the index stands in its value, if it is ``hinted``.
    released : Out(Release), chains : Out(6)
        Of a ``RELEASE`` and of a ``COMMIT``.
    turn : Out(4)
        Of a ``TURN`` that was held: what is left of it; zero otherwise.
    list, hold : In(1), listed_row : In(7), left : In(4)
        A row is to stand in the list; its turn, with ``left`` chains to begin, is held.
    held : Out(1)
        A turn is being held; no other can be.
    """

    def __init__(self, geometry: Geometry):
        self.geometry = geometry
        super().__init__(
            {
                "told": In(1),
                "told_row": In(7),
                "answer": In(stream.Signature(Answer)),
                "release": In(stream.Signature(Release)),
                "commit": In(stream.Signature(Commit)),
                "notification": In(stream.Signature(Notification)),
                "take": In(1),
                "valid": Out(1),
                "row": Out(7),
                "event": Out(Event),
                "latest": Out(Answer),
                "hinted": Out(1),
                "released": Out(Release),
                "chains": Out(6),
                "turn": Out(4),
                "list": In(1),
                "hold": In(1),
                "listed_row": In(7),
                "left": In(4),
                "held": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.turns = turns = Line(g.row_bits, g.rows)
        m.d.comb += [turns.i.eq(self.listed_row), turns.put.eq(self.list)]
        held_row, left = Signal(7), Signal(4)
        retry = Signal()
        rang = Signal()
        with m.If(self.hold):
            m.d.sync += [self.held.eq(1), held_row.eq(self.listed_row), left.eq(self.left)]

        event = Signal(Event)
        m.d.comb += self.valid.eq(1)
        with m.If(self.told):
            m.d.comb += [self.row.eq(self.told_row), event.eq(Event.CONTROL)]
        with m.Elif(self.answer.valid):
            m.d.comb += [
                self.answer.ready.eq(self.take),
                self.row.eq(self.answer.p.row),
                event.eq(Event.ANSWER),
            ]
        with m.Elif(self.release.valid):
            m.d.comb += [
                self.release.ready.eq(self.take),
                self.row.eq(self.release.p.row),
                event.eq(Event.RELEASE),
            ]
        with m.Elif(self.commit.valid):
            m.d.comb += [
                self.commit.ready.eq(self.take),
                self.row.eq(self.commit.p.row),
                event.eq(Event.COMMIT),
            ]
        with m.Elif(self.notification.valid & ~(rang & turns.o.valid)):
            m.d.comb += [
                self.notification.ready.eq(self.take),
                self.row.eq(self.notification.p.queue),
                event.eq(Event.NOTIFICATION),
            ]
        with m.Elif(self.held & retry):
            m.d.comb += [self.row.eq(held_row), event.eq(Event.TURN)]
        with m.Elif(turns.o.valid):
            m.d.comb += [
                turns.o.ready.eq(self.take),
                self.row.eq(turns.o.p),
                event.eq(Event.TURN),
            ]
        with m.Else():
            m.d.comb += self.valid.eq(0)

        # Everything is taken as it stands; what counts is told by ``event``.
        with m.If(self.take):
            m.d.sync += [
                self.event.eq(event),
                self.latest.eq(self.answer.p),
                self.hinted.eq(self.notification.p.has_index),
                self.released.eq(self.release.p),
                self.chains.eq(self.commit.p.chains),
                self.turn.eq(0),
            ]
            with m.If(event == Event.NOTIFICATION):
                m.d.sync += [self.latest.value.eq(self.notification.p.index), rang.eq(1)]
            with m.If(event == Event.RELEASE):
                m.d.sync += retry.eq(1)
            with m.If(self.valid & (event == Event.TURN)):
                m.d.sync += rang.eq(0)
                with m.If(self.held & retry):
                    m.d.sync += [self.turn.eq(left), self.held.eq(0), retry.eq(0)]
        return m
