"""What stands between the two halves of the room: entries in, completions out.

The *front* has the controllers' registers and queues; it fetches submission entries and posts
completion entries. The *engine* carries out the commands of the I/O queues by way of the block
contract. Neither knows the other's insides. The rules:

1. An entry is one packet of eight beats, as it stood in the ring, with ``function`` and ``queue``
   beside every beat. The front offers an entry only when its answer has room in its completion
   queue; entries of one queue come in the ring's order.
2. The engine answers each entry by exactly one completion, in any order, unless it is
   cancelled. It begins to take an entry in bounded time while fewer than its ``tags`` commands
   are under way.
3. A completion is offered when the last byte of its data was accepted by the host memory port,
   and the front posts it behind that (``niter.interface.memory``, write rule 4). The front takes
   it without waiting for an entry to be accepted.
4. ``cancel`` names one command, or with ``every`` all of a queue, or with ``queue`` zero all of a
   function: those that the engine began to take before the cancel was accepted. The
   acknowledgement comes in bounded time, whatever the target does. From then on there is no host
   memory command and no completion for any of them. ``found`` says whether one was stopped.
5. The front takes completions while a cancel is under way; such a completion may be of a cancelled
   command, and is then posted, or thrown away when its queue is no more.
"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Beat

__all__ = ["Cancel", "Cancelled", "CommandPort", "Completion", "EntryBeat"]


class EntryBeat(data.Struct):
    """One of the eight beats of a submission entry (NVM Express Base 2.0, 3.3.3.1).

    Members
    -------
    function : 3 bits
        Whose it is.
    queue : 5 bits
        Identifier of its submission queue, 1 to 16.
    """

    packet: Beat
    function: 3
    queue: 5


class Completion(data.Struct):
    """The end of a command.

    Members
    -------
    status : 15 bits
        The status field as it stands in a completion entry above the phase tag: SC in the
        lowest 8 bits, SCT in the next 3, CRD 2, M, DNR (Base 2.0, 3.3.3.2.1).
    result : 32 bits
        Dword 0 of the completion entry.
    """

    function: 3
    queue: 5
    cid: 16
    status: 15
    result: 32


class Cancel(data.Struct):
    """Which commands to stop: ``cid`` of ``queue``, or ``every`` one of it."""

    function: 3
    queue: 5
    cid: 16
    every: 1


class Cancelled(data.Struct):
    """The acknowledgement of a cancel."""

    found: 1


#: Between front and engine, seen from the front.
CommandPort = wiring.Signature(
    {
        "entry": Out(stream.Signature(EntryBeat)),
        "completion": In(stream.Signature(Completion)),
        "cancel": Out(stream.Signature(Cancel)),
        "cancelled": In(stream.Signature(Cancelled)),
    }
)
