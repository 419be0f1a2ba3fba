"""The status codes of NVM Express, and how a block status becomes one."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BlockStatus

from .layouts import TAG_BITS, Kind, Mark, Outcome

__all__ = ["DNR", "STATUS", "StatusCode", "Verdict"]

#: Do Not Retry, in the status field above the phase tag.
DNR = 1 << 14


class StatusCode(enum.IntEnum):
    """Status code type and status code, as they stand in the status field.

    NVM Express Base 2.0, 3.3.3.2.1, and NVM Command Set 1.0, 3.1.2.
    """

    SUCCESS = 0x000
    INVALID_OPCODE = 0x001
    INVALID_FIELD = 0x002
    DATA_TRANSFER_ERROR = 0x004
    INTERNAL_ERROR = 0x006
    INVALID_NAMESPACE_OR_FORMAT = 0x00B
    PRP_OFFSET_INVALID = 0x013
    NAMESPACE_WRITE_PROTECTED = 0x020
    LBA_OUT_OF_RANGE = 0x080
    RESERVATION_CONFLICT = 0x083
    WRITE_FAULT = 0x280
    UNRECOVERED_READ_ERROR = 0x281
    COMPARE_FAILURE = 0x285
    CONTROLLER_PATHING_ERROR = 0x360


#: Status field of each outcome. Trying again may help where the fault is not in the command.
STATUS = {
    Outcome.OK: StatusCode.SUCCESS,
    Outcome.INVALID_OPCODE: StatusCode.INVALID_OPCODE | DNR,
    Outcome.INVALID_FIELD: StatusCode.INVALID_FIELD | DNR,
    Outcome.INVALID_NAMESPACE: StatusCode.INVALID_NAMESPACE_OR_FORMAT | DNR,
    Outcome.PRP_OFFSET: StatusCode.PRP_OFFSET_INVALID | DNR,
    Outcome.OUT_OF_RANGE: StatusCode.LBA_OUT_OF_RANGE | DNR,
    Outcome.WRITE_PROTECTED: StatusCode.NAMESPACE_WRITE_PROTECTED | DNR,
    Outcome.DATA_TRANSFER: StatusCode.DATA_TRANSFER_ERROR,
    Outcome.INTERNAL: StatusCode.INTERNAL_ERROR,
    Outcome.PATH: StatusCode.CONTROLLER_PATHING_ERROR,
    Outcome.RESERVED: StatusCode.RESERVATION_CONFLICT | DNR,
    Outcome.READ_ERROR: StatusCode.UNRECOVERED_READ_ERROR,
    Outcome.WRITE_FAULT: StatusCode.WRITE_FAULT,
    Outcome.COMPARE_FAILURE: StatusCode.COMPARE_FAILURE | DNR,
}

_OUTCOMES = {
    BlockStatus.OUT_OF_RANGE: Outcome.OUT_OF_RANGE,
    BlockStatus.READ_ONLY: Outcome.WRITE_PROTECTED,
    BlockStatus.NO_VOLUME: Outcome.INVALID_NAMESPACE,
    BlockStatus.PATH: Outcome.PATH,
    BlockStatus.RESERVED: Outcome.RESERVED,
    BlockStatus.DATA_TRANSFER: Outcome.DATA_TRANSFER,
}


class Verdict(wiring.Component):
    """Says how a command ends whose block request has ended, and keeps comparisons' marks.

    To deallocate is a hint, so a target that cannot do that does no harm. Combinational; marks
    take a cycle.

    Parameters
    ----------
    tags
        How many there are.

    Members
    -------
    tag : In(TAG_BITS)
        Whose request it is.
    kind : In(Kind)
        What the command does.
    status : In(BlockStatus)
        How its request ended.
    outcome : Out(Outcome)
        How the command ends.
    clear : In(1)
        ``tag`` is that of a new command.
    mark : In(stream.Signature(Mark))
        What a comparison has shown; for when the request ends with OK.
    """

    tag: In(TAG_BITS)
    kind: In(Kind)
    status: In(BlockStatus)
    outcome: Out(Outcome)
    clear: In(1)
    mark: In(stream.Signature(Mark))

    def __init__(self, tags: int):
        self.tags = tags
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.marks = marks = memory.Memory(shape=Outcome, depth=self.tags, init=[])
        read, write = marks.read_port(domain="comb"), marks.write_port()
        m.d.comb += [
            read.addr.eq(self.tag),
            write.addr.eq(Mux(self.clear, self.tag, self.mark.payload.tag)),
            write.data.eq(Mux(self.clear, Outcome.OK, self.mark.payload.outcome)),
            write.en.eq(self.clear | self.mark.valid),
            self.mark.ready.eq(~self.clear),
        ]
        reads = Signal()
        m.d.comb += reads.eq(
            (self.kind == Kind.READ) | (self.kind == Kind.COMPARE) | (self.kind == Kind.VERIFY)
        )
        with m.Switch(self.status):
            with m.Case(BlockStatus.OK):
                m.d.comb += self.outcome.eq(read.data)
            with m.Case(BlockStatus.UNSUPPORTED):
                m.d.comb += self.outcome.eq(
                    Mux(self.kind == Kind.DATASET, Outcome.OK, Outcome.INVALID_OPCODE)
                )
            with m.Case(BlockStatus.MEDIUM):
                m.d.comb += self.outcome.eq(Mux(reads, Outcome.READ_ERROR, Outcome.WRITE_FAULT))
            for status, outcome in _OUTCOMES.items():
                with m.Case(status):
                    m.d.comb += self.outcome.eq(outcome)
            with m.Default():
                m.d.comb += self.outcome.eq(Outcome.INTERNAL)
        return m
