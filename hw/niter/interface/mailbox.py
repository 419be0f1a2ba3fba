"""The mailbox: how an engine hands a command to the card's CPU and gets the answer.

For what is rare: admin queues, control queues, notices. The engine sends the command itself as
a message; the CPU reads it, moves what belongs to it between host memory and a window of card
memory, and sends a message back, such as a completion entry, which the engine puts where it
belongs. The mailbox owns the one pair of host memory ports through which the CPU's copies go.
Each engine has one port of this signature, and a function belongs to one engine. The rules:

Requests
    1. A message is one packet of 1 to 72 bytes. Its header stands beside every beat, unchanged,
       with ``length`` right from the first.
    2. An engine begins a message of function ``f`` only in a cycle in which ``credit[f]`` is
       high and ``reset[f]`` low. A message that has begun is taken in bounded time: behind
       messages of other ports that have begun, and never waiting for the CPU. The engine
       likewise does not hold it back once begun.
    3. ``credit[f]`` is high while fewer messages of ``f`` wait for the CPU than its quota; it
       is right from the cycle after a message's last beat. Messages of other functions never
       lower it, so a function that floods the CPU slows itself alone. While it is low the
       engine leaves further commands in the ring that the host put them into.
    4. A message that ends in ``error`` is dropped: the CPU does not see it.
    5. Messages of one function reach the CPU in order. The CPU takes turns among functions.
Replies
    6. A reply has the ``function`` and ``tag`` of the request that it answers. Requests may be
       answered in any order, late, or not at all; ``kind`` says what else a message from the
       CPU may be, which the engine defines. An engine ignores a reply that it did not expect.
    7. A reply is offered only when every copy that the CPU has ordered before it has been
       accepted by the PCIe room (``niter.interface.memory``, write rule 4). What the engine
       writes in consequence of it reaches the host behind that data.
    8. An engine takes a reply without waiting for the CPU, also while it resets.
Reset
    9. The engine raises ``reset[f]`` when function ``f`` is reset, once no request of ``f`` is
       under way, and keeps it until it sees ``reset_done[f]``. The mailbox then has dropped the
       function's messages, and has no host command of it outstanding. It lowers
       ``reset_done[f]`` when ``reset[f]`` has fallen.
    10. Nothing from before a reset gets behind it: copies and replies that the CPU orders for
        a message from before are refused, and the CPU is told so.
Copies
    11. The CPU orders a copy of 1 to 4096 bytes for a message that it has read, one at a time.
        It ends with a status: done, failed (the host refused, timed out or answered short, or
        the function lost bus mastering) or refused (the function is or was in reset). It always
        ends. A write to the host is posted: done says that the PCIe room has accepted it.

A CPU that is restarted has forgotten the messages that it had read: the host's time-out and
reset of the function recover those.
"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .function import MAX_FUNCTIONS
from .packet import Beat

__all__ = ["MAX_MESSAGE_BYTES", "MailboxPort", "MessageBeat", "MessageHeader"]

#: Longest message: a submission entry of 64 bytes, and 8 of the engine's own.
MAX_MESSAGE_BYTES = 72


class MessageHeader(data.Struct):
    """What stands beside a message.

    Members
    -------
    function : 3 bits
        Whose command it is.
    kind : 8 bits
        What the message is; each engine defines its own. The CPU knows the engine by the port.
    tag : 16 bits
        The engine's name for the request, such as a command or descriptor identifier.
    length : 7 bits
        Bytes of the message, 1 to 72.
    """

    function: 3
    kind: 8
    tag: 16
    length: 7


class MessageBeat(data.Struct):
    """One beat of a message."""

    packet: Beat
    header: MessageHeader


#: An engine's port to the mailbox, seen from the engine.
MailboxPort = wiring.Signature(
    {
        "request": Out(stream.Signature(MessageBeat)),
        "credit": In(MAX_FUNCTIONS),
        "reply": In(stream.Signature(MessageBeat)),
        "reset": Out(MAX_FUNCTIONS),
        "reset_done": In(MAX_FUNCTIONS),
    }
)
