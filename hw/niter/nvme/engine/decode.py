"""Takes a submission entry apart."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.nvme.command import EntryBeat

from .layouts import Command, Kind, Outcome

__all__ = ["Decode", "Opcode"]


class Opcode:
    """Opcodes of the NVM command set (NVM Command Set 1.0, 3.2) that are carried out."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02
    COMPARE = 0x05
    WRITE_ZEROES = 0x08
    DATASET_MANAGEMENT = 0x09
    VERIFY = 0x0C


_KINDS = {
    Opcode.FLUSH: Kind.FLUSH,
    Opcode.WRITE: Kind.WRITE,
    Opcode.READ: Kind.READ,
    Opcode.COMPARE: Kind.COMPARE,
    Opcode.WRITE_ZEROES: Kind.WRITE_ZEROES,
    Opcode.DATASET_MANAGEMENT: Kind.DATASET,
    Opcode.VERIFY: Kind.VERIFY,
}


class Decode(wiring.Component):
    """Gathers the eight beats of an entry, and finds what is wrong with it by itself.

    That is, the first of: an unknown opcode; a fused command, or one with SGLs; an NSID that no
    namespace can have (all of them is for Flush); protection information, a storage tag check,
    or a directive, which the namespaces do not have.

    Latency 1 cycle from the last beat; the next entry is taken when the command was.

    Parameters
    ----------
    namespaces
        Of a function, 1 to 16: NSID 1 and up.

    Members
    -------
    enable : In(1)
        An entry may be begun.
    entry : In(stream.Signature(EntryBeat))
        Entries.
    busy : Out(1)
        One has been begun, and has not left.
    o : Out(stream.Signature(Command))
        What it says.
    """

    enable: In(1)
    entry: In(stream.Signature(EntryBeat))
    busy: Out(1)
    o: Out(stream.Signature(Command))

    def __init__(self, namespaces: int):
        if not 1 <= namespaces <= 16:
            raise ValueError(f"A function has 1 to 16 namespaces, not {namespaces!r}")
        self.namespaces = namespaces
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        beat = self.entry.payload.packet.data
        command = self.o.payload
        ident = command.ident
        number = Signal(3)
        m.d.comb += [
            self.busy.eq(self.o.valid | (number != 0)),
            self.entry.ready.eq(~self.o.valid & (self.enable | (number != 0))),
        ]

        # Dwords 0 and 1.
        opcode, foreign, nsid = beat[:8], beat[8:10] | beat[14:16], beat[32:]
        known, flush = Signal(), Signal()
        with m.Switch(opcode):
            m.d.comb += flush.eq(opcode == Opcode.FLUSH)
            for code in _KINDS:
                with m.Case(code):
                    m.d.comb += known.eq(1)
        every, exists = Signal(), Signal()
        m.d.comb += [
            every.eq(flush & nsid.all()),
            exists.eq((nsid != 0) & below(nsid, self.namespaces + 1)),
        ]

        with m.If(self.entry.valid & self.entry.ready):
            m.d.sync += number.eq(number + 1)
            with m.Switch(number):
                with m.Case(0):
                    m.d.sync += [
                        ident.function.eq(self.entry.payload.function),
                        ident.queue.eq(self.entry.payload.queue),
                        ident.cid.eq(beat[16:32]),
                        ident.broadcast.eq(every),
                        ident.index.eq((nsid - 1)[:4] & ~every.replicate(4)),
                        ident.fua.eq(0),
                        command.outcome.eq(Outcome.OK),
                    ]
                    with m.If(~every & ~exists):
                        m.d.sync += command.outcome.eq(Outcome.INVALID_NAMESPACE)
                    with m.If(foreign.any()):
                        m.d.sync += command.outcome.eq(Outcome.INVALID_FIELD)
                    with m.If(~known):
                        m.d.sync += command.outcome.eq(Outcome.INVALID_OPCODE)
                    with m.Switch(opcode):
                        for code, kind in _KINDS.items():
                            with m.Case(code):
                                m.d.sync += ident.kind.eq(kind)
                with m.Case(3):
                    m.d.sync += command.prp1.eq(beat)
                with m.Case(4):
                    m.d.sync += command.prp2.eq(beat)
                with m.Case(5):
                    m.d.sync += command.start.eq(beat)
                with m.Case(6):
                    # Dword 12: number of blocks less one, DTYPE, STC, PRINFO, FUA.
                    m.d.sync += command.blocks.eq(beat[:16] + 1)
                    places = (ident.kind != Kind.FLUSH) & (ident.kind != Kind.DATASET)
                    directive = beat[20:24].any() & (ident.kind == Kind.WRITE)
                    with m.If(places):
                        m.d.sync += ident.fua.eq(beat[30])
                        with m.If(
                            (beat[24] | beat[26:30].any() | directive)
                            & (command.outcome == Outcome.OK)
                        ):
                            m.d.sync += command.outcome.eq(Outcome.INVALID_FIELD)
                with m.Case(7):
                    m.d.sync += self.o.valid.eq(1)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m
