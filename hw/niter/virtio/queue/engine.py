"""The queue engine, put together."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, HostRead, HostWrite

from .answers import Answers
from .commander import Commander
from .fetcher import Fetcher
from .geometry import Geometry
from .layouts import Fault, Notification, Offer, QueueCommand, QueueId, Segment, Take, Used
from .port import RingPort
from .puller import Puller
from .pusher import Pusher
from .scanner import Scanner
from .used import UsedWriter
from .walker import Walker

__all__ = ["QueueEngine"]


class QueueEngine(wiring.Component):
    """Serves the split virtqueues (virtio 1.2, 2.7) of all functions.

    Everything about a queue stands in RAM, indexed by its function and index; the logic
    exists once. Heads are fetched ahead in batches, the descriptors of up to eight chains
    are read at the same time, and used entries are written together when they come together.
    The link's latency is hidden by that; the logic takes about 30 cycles a chain.

    What a driver does wrong (see ``Fetcher``, ``Walker``, ``Puller``), and every read that
    host memory refuses, is reported once as a fault; the queues of that function stand
    still from then on until all of them were disabled, and all others go on.

    Parameters
    ----------
    functions
        Functions served, 1 to 8, each with up to 16 queues.
    pulled
        Indices of the queues, of each function, that may be pulled. None: there is no part for
        it, and ``take`` is never accepted.
    holdable
        Indices of the queues, of each function, that ``held``, ``begun`` and ``dropped`` are
        about. None: all.

    Members
    -------
    commands : In(stream.Signature(QueueCommand))
        Held back until an earlier ``DISABLE`` is done.
    commands_done : Out(stream.Signature(QueueId))
        A ``DISABLE`` is done.
    notifications : In(stream.Signature(Notification))
        Accepted in bounded time; those of queues that are not enabled are ignored.
    faults : Out(stream.Signature(Fault))
    segments : Out(stream.Signature(Segment))
        Chains of pushed queues. A device that does not take them holds all pushed queues
        back, but no pulled one.
    take : In(stream.Signature(Take)), offers : Out(stream.Signature(Offer))
        Chains of pulled queues: the first segment comes within some 15 cycles, unless
        the engine is storing a chain (six cycles a segment); the next ones four cycles
        apart.
    used : In(stream.Signature(Used))
    held : In(8)
        Functions of which no further chain of these queues is begun. Whoever counts what is begun,
        dropped and used can keep a function from having more chains than it can take, and so from
        holding back the others.
    begun, dropped : Out(1), begun_of, dropped_of : Out(3)
        A chain of a function was begun, ``held`` counts from the next cycle on; one that was
        begun will not come, since its queue is being disabled or stands still.
    read : Out(HostRead), write : Out(HostWrite)
        Rings only.
    """

    def __init__(
        self,
        functions: int = 4,
        pulled: tuple[int, ...] = (0, 2, 4, 6),
        holdable: tuple[int, ...] | None = None,
    ):
        self.geometry = Geometry(functions, tuple(pulled), holdable)
        super().__init__(
            {
                "commands": In(stream.Signature(QueueCommand)),
                "commands_done": Out(stream.Signature(QueueId)),
                "notifications": In(stream.Signature(Notification)),
                "faults": Out(stream.Signature(Fault)),
                "segments": Out(stream.Signature(Segment)),
                "take": In(stream.Signature(Take)),
                "offers": Out(stream.Signature(Offer)),
                "used": In(stream.Signature(Used)),
                "held": In(MAX_FUNCTIONS),
                "begun": Out(1),
                "begun_of": Out(3),
                "dropped": Out(1),
                "dropped_of": Out(3),
                "read": Out(HostRead),
                "write": Out(HostWrite),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        g = self.geometry
        m.submodules.commander = commander = Commander(g)
        m.submodules.port = port = RingPort(g, 3)
        m.submodules.answers = answers = Answers(g)
        m.submodules.fetcher = fetcher = Fetcher(g)
        m.submodules.scanner = scanner = Scanner(g)
        m.submodules.walker = walker = Walker()
        m.submodules.pusher = pusher = Pusher()
        m.submodules.used = used = UsedWriter(g)

        connect(m, flipped(self.commands), commander.commands)
        connect(m, commander.done, flipped(self.commands_done))
        connect(m, commander.faults, flipped(self.faults))
        connect(m, pusher.segments, flipped(self.segments))

        # Host memory.
        connect(m, used.access, port.i[0])
        connect(m, fetcher.access, port.i[1])
        connect(m, scanner.access, port.i[2])
        connect(m, used.run, port.run)
        connect(m, port.command, flipped(self.read.command))
        connect(m, port.write, flipped(self.write))
        connect(m, flipped(self.read.answer), answers.i)
        connect(m, answers.descriptors, walker.answer)
        connect(m, answers.fetcher, fetcher.answer)
        connect(m, answers.used, used.answer)
        m.d.comb += [
            answers.head_at.eq(fetcher.head_at),
            fetcher.head.eq(answers.head),
            port.book.eq(commander.book),
            port.book_valid.eq(commander.book_valid | walker.book_valid),
            commander.book_busy.eq(walker.book_valid),
        ]
        with m.If(walker.book_valid):
            m.d.comb += port.book.eq(walker.book)

        # From head to chain.
        connect(m, fetcher.begin, scanner.begin)
        connect(m, scanner.push, pusher.job)
        m.d.comb += [
            fetcher.slot.eq(scanner.slot),
            scanner.look.eq(walker.look),
            scanner.look_valid.eq(walker.look_valid),
            walker.begun.eq(scanner.begun),
            walker.progress.eq(scanner.progress),
            scanner.answered.eq(walker.answered),
            scanner.answered_slot.eq(walker.answered_slot),
            scanner.answered_valid.eq(walker.answered_valid),
            walker.overflow.eq(scanner.overflow),
            walker.overflow_taken.eq(scanner.overflow_taken),
            walker.address.eq(pusher.address),
            pusher.segment.eq(walker.segment),
        ]
        parts = [fetcher, used]
        releases = [pusher.release, scanner.release]
        inlets = [(self.notifications, fetcher.notification), (self.used, used.i)]
        if g.pulled:
            m.submodules.puller = puller = Puller(g)
            connect(m, scanner.pull, puller.job)
            connect(m, puller.commit, fetcher.commit)
            connect(m, puller.offers, flipped(self.offers))
            m.d.comb += [
                puller.busy.eq(pusher.fetching),
                puller.segment.eq(walker.segment),
                puller.judged.eq(fetcher.judged),
                puller.judged_row.eq(fetcher.judged_row),
                puller.coming.eq(fetcher.coming),
            ]
            with m.If(~pusher.fetching):
                m.d.comb += walker.address.eq(puller.address)
            parts.append(puller)
            releases.insert(0, puller.release)
            inlets.append((self.take, puller.take))

        taken = None
        for release in releases:
            free = release.valid if taken is None else release.valid & ~taken
            with m.If(free):
                m.d.comb += [
                    fetcher.release.p.eq(release.p),
                    fetcher.release.valid.eq(1),
                    release.ready.eq(fetcher.release.ready),
                ]
            taken = release.valid if taken is None else taken | release.valid
        begun = fetcher.begin.valid & fetcher.begin.ready
        dropped = scanner.freed_valid & ~fetcher.release.p.delivered
        if g.holdable is not None:
            begun &= g.holds(fetcher.begin.p.row)
            dropped &= g.holds(fetcher.release.p.row)
        m.d.comb += [
            scanner.freed.eq(fetcher.release.p.slot),
            scanner.freed_valid.eq(fetcher.release.valid & fetcher.release.ready),
            fetcher.held.eq(self.held),
            self.begun.eq(begun),
            self.begun_of.eq(fetcher.begin.p.row >> 4),
            self.dropped.eq(dropped),
            self.dropped_of.eq(fetcher.release.p.row >> 4),
        ]

        # Nothing is taken in before the tables are clear.
        ready = ~commander.clearing
        for outer, inner in inlets:
            m.d.comb += [
                inner.p.eq(outer.p),
                inner.valid.eq(outer.valid & ready),
                outer.ready.eq(inner.ready & ready),
            ]

        # Beginning, end and fault.
        for supervision, part in zip(commander.parts, parts, strict=True):
            connect(m, supervision, part.supervision)
        m.d.comb += [
            commander.enabled.eq(fetcher.enabled),
            commander.given.eq(fetcher.given),
            commander.returned.eq(used.returned),
            commander.quiet.eq(port.quiet),
            commander.fault.eq(scanner.fault),
            commander.fault_function.eq(scanner.fault_function),
            scanner.stopped.eq(commander.stopped),
            scanner.closing.eq(commander.closing),
            scanner.closing_row.eq(commander.closing_row),
        ]
        return m
