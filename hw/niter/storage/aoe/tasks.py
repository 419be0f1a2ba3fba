"""What the engine does, and what it counts."""

from amaranth import C, Cat, Mux, Value
from amaranth.lib import enum

from niter.interface import BlockOpcode

__all__ = ["Event", "Task", "answer_units", "changes"]


class Task(enum.Enum, shape=3):
    """What the engine is doing: where it goes when what that needs is in hand."""

    SEND = 0
    ANSWER = 1
    TIMER = 2
    ABORT = 3
    FAULT = 4
    #: Looks for a dangerous slot in the way of what is to be sent.
    OVERLAP = 5
    #: Sends what a slot has once more.
    REPEAT = 6


class Event(enum.IntEnum):
    """What is counted for each target."""

    #: Frames sent for the first time.
    SENT = 0
    #: Frames that were answered.
    ANSWERED = 1
    #: Frames sent again.
    REPEATED = 2
    #: Answers that nobody waits for any more.
    LATE = 3
    #: Answers that do not fit what was asked.
    UNFIT = 4
    #: Frames that were never answered.
    SILENT = 5
    #: Answers with an error.
    ERRORS = 6
    #: Times that a request had to wait for sectors.
    WAITED = 7


def changes(opcode: Value) -> Value:
    """A write of any kind."""
    return (opcode == BlockOpcode.WRITE) | (opcode == BlockOpcode.WRITE_ZEROES)


def answer_units(opcode: Value, sectors: Value) -> Value:
    """Room that the answer to a frame takes in the receive buffer."""
    reads = (opcode == BlockOpcode.READ) | (opcode == BlockOpcode.VERIFY)
    return Cat(C(1, 3), Mux(reads, sectors, 0))
