"""The command engine: entries of I/O queues in, block requests out, completions back."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import BlockPort, HostRead, HostWrite
from niter.nvme.command import CommandPort

from .control import Control
from .decode import Decode
from .fetch import Fetch
from .layouts import TAG_BITS
from .namespaces import Namespaces
from .places import Places
from .pull import Pull
from .push import Push
from .share import ReadShare

__all__ = ["Engine"]


class Engine(wiring.Component):
    """Carries out the commands of the NVM command set (NVM Command Set 1.0).

    ::

        entry ── Decode ── Control ─────────── request, completion, abort
                    │         │ Fetch
                    │      Places ┬── Pull ─── pull
        host memory ┘             └── Push ─── push

    The host's memory is the only buffer: data goes between it and the transport when the
    transport asks, by way of PRPs that were read and checked before.

    Parameters
    ----------
    functions
        1 to 8, each an NVMe controller.
    namespaces
        Of each, 1 to 16.
    tags
        Commands under way at a time: a power of two up to 64.

    Members
    -------
    front : In(CommandPort)
        Registers and queues.
    block : Out(BlockPort)
        Stages and the transport.
    read : array of Out(HostRead)
        Data of writes; lists, ranges, and what is compared.
    write : Out(HostWrite)
        Data of reads.
    csr : In(csr.Signature)
        The namespace table.
    """

    def __init__(self, functions: int = 4, namespaces: int = 4, tags: int = 32):
        if not 1 <= functions <= 8:
            raise ValueError(f"There are 1 to 8 functions, not {functions!r}")
        self.functions = functions
        self.namespaces = namespaces
        self.tags = tags
        self._decode = Decode(namespaces)
        self._table = Namespaces(functions, namespaces)
        super().__init__(
            {
                "front": In(CommandPort),
                "block": Out(BlockPort),
                "read": Out(HostRead).array(2),
                "write": Out(HostWrite),
                "csr": In(csr.Signature(addr_width=self._table.csr.addr_width)),
            }
        )
        self.csr.memory_map = self._table.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decode = decode = self._decode
        m.submodules.table = table = self._table
        m.submodules.control = control = Control(self.tags, self.namespaces)
        m.submodules.places = places = Places(self.tags, 4)
        m.submodules.fetch = fetch = Fetch()
        m.submodules.pull = pull = Pull()
        m.submodules.push = push = Push()
        # What is compared comes in answers of a TLP or two, through a buffer in LUT-RAM.
        m.submodules.expect = expect = Pull(depth=16, chunk=128)
        m.submodules.share = share = ReadShare()

        front, block = flipped(self.front), flipped(self.block)
        connect(m, flipped(self.csr), table.csr)
        connect(m, front.entry, decode.entry)
        connect(m, decode.o, control.command)
        connect(m, control.completion, front.completion)
        connect(m, front.cancel, control.cancel)
        connect(m, control.cancelled, front.cancelled)
        connect(m, control.lookup, table.lookup)
        connect(m, control.request, block.request)
        connect(m, block.completion, control.ended)
        connect(m, control.abort, block.abort)
        connect(m, block.aborted, control.aborted)
        connect(m, control.job, fetch.job)
        connect(m, fetch.o, control.fetched)

        connect(m, block.pull, pull.span)
        connect(m, pull.o, block.pull_data)
        connect(m, block.push, push.span)
        connect(m, block.push_data, push.i)
        connect(m, push.compare, expect.span)
        connect(m, expect.o, push.expected)
        connect(m, push.mark, control.mark)
        for asker, ask in zip((push, pull, expect, fetch), places.ask, strict=True):
            connect(m, asker.place, ask)

        connect(m, pull.read, flipped(self.read[0]))
        connect(m, fetch.read, share.i[0])
        connect(m, expect.read, share.i[1])
        connect(m, share.o, flipped(self.read[1]))
        connect(m, push.write, flipped(self.write))

        m.d.comb += [
            decode.enable.eq(control.enable),
            control.begun.eq(decode.busy),
            control.fetching.eq(fetch.busy),
            places.first.eq(control.first),
            places.page.eq(fetch.page),
            places.hold.eq(control.hold),
            control.held.eq(places.idle),
        ]
        # An entry is begun only while nothing is being fetched.
        with m.If(control.page.en):
            m.d.comb += places.page.eq(control.page)
        moving = 0
        for mover in (push, pull, expect):
            moving |= mover.busy & (mover.tag == control.victim[:TAG_BITS])
        m.d.comb += control.moving.eq(moving)
        return m
