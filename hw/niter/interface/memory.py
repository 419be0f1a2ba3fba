"""Host memory: what an engine sees of PCIe.

An engine owns any number of read and write ports; rings and payload use separate
ones. The rules:

Read port
    1. A command is issued only when its requester has room for the whole answer: the
       answer stream may be stalled for no longer than the requester needs to move on.
    2. Answers come in the order of the commands of this port, one packet each, packed
       from the command's ``lane`` whatever the address was, with the command's ``context``
       on every beat.
    3. An answer that failed (unsupported request, completer abort, poison, time-out,
       function disabled or in reset) ends with ``error`` and may be shorter than asked;
       it is never swallowed and never longer.
    4. A read never passes an earlier write of the same engine port pair.
Write port
    1. Each ``MEMORY`` command is followed on ``data`` by exactly one packet of ``length``
       bytes, packed from the command's ``lane``; the two streams may run ahead of each other.
       A packet that ends in ``error`` is dropped and never reaches the link.
    2. An ``INTERRUPT`` command has no data. It takes effect behind all writes accepted
       before it on this port.
    3. Commands of a function that is disabled or in reset are consumed, and nothing
       leaves the card.
    4. A write counts as accepted when its command and the last beat of its data have been.
       From then on it is ahead of every command that any write port of the card accepts in a
       later cycle. So an engine may write payload through one port and, once that is accepted,
       a ring entry or an interrupt through another: they reach the host in this order.
Both
    1. ``length`` is 1 to 4096 and the span may cross any boundary: the PCIe room splits. A write's
       packet has 512 beats at most, so that ``lane + length`` is no more than 4096 either: it is
       gathered whole before it leaves.
    2. ``lane`` is where in the packet's first beat its bytes begin; lanes below mean nothing,
       and all later beats begin at lane 0. It is zero for who does not care. Who joins or cuts
       packets need not move a byte when each piece begins at the lane where it stands in the
       whole: the PCIe room moves bytes between lanes in any case.
"""

from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from .packet import Beat, PacketStream

__all__ = [
    "MAX_TRANSFER_BYTES",
    "HostRead",
    "HostWrite",
    "ReadBeat",
    "ReadCommand",
    "WriteCommand",
    "WriteKind",
]

#: Largest span of one command, in bytes.
MAX_TRANSFER_BYTES = 4096


class ReadCommand(data.Struct):
    """Read ``length`` bytes at ``address`` on behalf of ``function``."""

    address: 64
    length: 13
    function: 3
    #: Handed back with the answer; the PCIe room does not look at it.
    context: 16
    #: Where the answer begins in its first beat.
    lane: 3


class ReadBeat(data.Struct):
    """One beat of an answer."""

    packet: Beat
    context: 16


class WriteKind(enum.Enum, shape=1):
    """What a write command does."""

    MEMORY = 0
    INTERRUPT = 1


class WriteCommand(data.Struct):
    """Write ``length`` bytes to ``address``, or raise MSI-X ``vector``, as ``function``."""

    kind: WriteKind
    address: 64
    length: 13
    function: 3
    #: MSI-X vector of the function; with ``INTERRUPT`` only.
    vector: 8
    #: Where the packet begins in its first beat; with ``MEMORY`` only.
    lane: 3


#: A read port, seen from the engine that owns it.
HostRead = wiring.Signature(
    {
        "command": Out(stream.Signature(ReadCommand)),
        "answer": In(stream.Signature(ReadBeat)),
    }
)

#: A write port, seen from the engine that owns it.
HostWrite = wiring.Signature(
    {
        "command": Out(stream.Signature(WriteCommand)),
        "data": Out(PacketStream),
    }
)
