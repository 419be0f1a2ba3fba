"""The virtio block device of all functions."""

from amaranth import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import Beat, BlockPort, FunctionPort, HostRead, HostWrite
from niter.stream import Arbiter, Fifo
from niter.virtio.features import BlkFeature
from niter.virtio.gather import Gather
from niter.virtio.pci import Transport
from niter.virtio.queue import QueueEngine
from niter.virtio.queue.layouts import Fault, QueueOperation

from .config import BlkConfig, blk_device
from .control import Control
from .header import HeaderParser
from .intake import Intake
from .layouts import HEADER_BYTES, TAG_BITS, Ticket
from .places import Places
from .pull import Pull
from .push import Push
from .shares import Shares

__all__ = ["VirtioBlk"]


class VirtioBlk(wiring.Component):
    """Block functions that stock virtio-blk drivers run, over one engine and one datapath.

    ::

        chains ── Intake ──┬── headers ────────────── Control ── request, completion, abort
                           └── Places ──┬── Pull ─── pull data
                                        └── Push ─── push data

    The host's memory is the only buffer of data: it moves when the transport behind the block
    port asks for it, in any order, by tag.

    Parameters
    ----------
    functions
        1 to 8.
    queues
        Request queues of each, 1 to 12.
    queue_size
        Largest queue that a driver may choose, a power of two up to 1024.
    tags
        Requests under way, of all functions together: a power of two up to 64, and more than
        four for each function, which nobody else can take from it; see ``Shares``.

    Members
    -------
    function : In(FunctionPort)
        Register accesses and resets of functions 0 to ``functions - 1``.
    read : Out(HostRead), three of them
        Rings, headers, data of writes.
    write : Out(HostWrite), four of them
        Rings and queue interrupts, data of reads, statuses, configuration interrupts. Accesses
        are ordered across them as ``niter.interface.memory`` says.
    block : Out(BlockPort)
        To the volumes.
    csr : In(csr.Signature)
        What each function's disk is; see ``BlkConfig``.

    Attributes
    ----------
    kind : DeviceKind
        What each function declares to the PCIe room.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    def __init__(
        self, functions: int = 4, queues: int = 4, queue_size: int = 256, *, tags: int = 64
    ):
        if tags < 2 or tags & (tags - 1) or tags > 1 << TAG_BITS:
            raise ValueError(f"Tags must be a power of two, 2 to {1 << TAG_BITS}, not {tags!r}")
        self.functions = functions
        self.tags = tags
        self.kind = blk_device(queues, queue_size)
        self._config = BlkConfig(functions)
        self._shares = Shares(functions, tags)
        super().__init__(
            {
                "function": In(FunctionPort),
                "read": Out(HostRead).array(3),
                "write": Out(HostWrite).array(4),
                "block": Out(BlockPort),
                "csr": In(csr.Signature(addr_width=self._config.csr.addr_width)),
            }
        )
        self.csr.memory_map = self._config.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.config = config = self._config
        m.submodules.transport = transport = Transport(self.kind, self.functions)
        m.submodules.engine = engine = QueueEngine(self.functions, ())
        m.submodules.intake = intake = Intake()
        m.submodules.places = places = Places(self.tags)
        m.submodules.parser = parser = HeaderParser()
        m.submodules.control = control = Control(self.tags)
        m.submodules.pull = pull = Pull()
        m.submodules.push = push = Push()
        connect(m, flipped(self.csr), config.csr)
        connect(m, flipped(self.function), transport.function)
        connect(m, config.config, transport.config)

        # Life of the queues. A command to disable one stands until all its chains are back.
        connect(m, transport.commands, engine.commands)
        connect(m, engine.commands_done, transport.commands_done)
        connect(m, transport.notifications, engine.notifications)
        m.submodules.faults = faults = Arbiter(Fault, 2, packet=False)
        connect(m, engine.faults, faults.i[0])
        connect(m, control.faults, faults.i[1])
        connect(m, faults.o, transport.faults)
        command = transport.commands
        m.d.comb += [
            control.closing.eq(command.valid & (command.p.operation == QueueOperation.DISABLE)),
            control.closing_queue.eq(command.p.queue),
        ]

        # From chain to request and back. There is room for the header of every tag.
        m.submodules.gather = gather = Gather()
        m.submodules.headers = headers = Fifo(Beat, 2 * HEADER_BYTES // 8 * self.tags)
        m.submodules.shares = shares = self._shares
        connect(m, engine.segments, intake.i)
        connect(m, control.tags, intake.tags)
        connect(m, gather.o, headers.i)
        connect(m, headers.o, parser.i)
        connect(m, parser.o, control.header)
        connect(m, control.used, engine.used)
        answer = self.read[1].answer
        m.d.comb += [
            gather.i.p.packet.eq(answer.p.packet),
            gather.i.p.final.eq(Ticket(answer.p.context).final),
            gather.i.valid.eq(answer.valid),
            answer.ready.eq(gather.i.ready),
            shares.begun.eq(engine.begun),
            shares.begun_of.eq(engine.begun_of),
            shares.dropped.eq(engine.dropped),
            shares.dropped_of.eq(engine.dropped_of),
            shares.ended.eq(engine.used.valid & engine.used.ready),
            shares.ended_of.eq(engine.used.p.queue.function),
            engine.held.eq(shares.held),
            places.store.eq(intake.store),
            places.store_valid.eq(intake.store_valid),
            control.arrival.eq(intake.arrival),
            control.arrived.eq(intake.arrived),
        ]
        for asker, port in zip((control.place, push.place, pull.place), places.ask, strict=True):
            connect(m, asker, port)

        # The block port.
        block = self.block
        connect(m, control.request, flipped(block.request))
        connect(m, control.abort, flipped(block.abort))
        connect(m, flipped(block.completion), control.ended)
        connect(m, flipped(block.aborted), control.aborted)
        connect(m, flipped(block.pull), pull.span)
        connect(m, pull.o, flipped(block.pull_data))
        connect(m, flipped(block.push), push.span)
        connect(m, flipped(block.push_data), push.i)
        m.d.comb += [
            pull.mark.eq(control.mark),
            push.mark.eq(control.mark),
            control.drained.eq(pull.drained & push.drained),
        ]

        # Memory.
        connect(m, engine.read, flipped(self.read[0]))
        connect(m, intake.command, flipped(self.read[1].command))
        connect(m, pull.read, flipped(self.read[2]))
        parts = (engine.write, push.write, control.write, transport.interrupts)
        for part, port in zip(parts, self.write, strict=True):
            connect(m, part, flipped(port))

        # What the drivers have negotiated, and what control has said.
        for feature, taken in (
            (BlkFeature.DISCARD, control.discard),
            (BlkFeature.WRITE_ZEROES, control.write_zeroes),
            (BlkFeature.FLUSH, control.flush),
        ):
            m.d.comb += taken.eq(Cat(features[feature] for features in transport.features))
        m.d.comb += [
            config.function.eq(control.function),
            config.number.eq(control.number),
            control.volume.eq(config.volume),
            control.byte.eq(config.byte),
        ]
        return m
