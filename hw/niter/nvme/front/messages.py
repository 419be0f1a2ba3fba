"""What the front and the admin firmware say to each other through the mailbox.

From the front to the firmware (``niter.interface.mailbox``, requests):

| kind | tag | content | when |
|---|---|---|---|
| ``ADMIN`` | CID | the submission entry, 64 bytes | the host has submitted an admin command |
| ``EVENT`` | 0 | ``Events``, 8 bytes | something has happened; several things may have |

An ``EVENT`` with ``stopped`` says that a function's controller was reset, in whatever way: the
front has cancelled its commands and forgotten its queues, and the mailbox what came before. With
``started`` (behind ``stopped``, if both are set) the host has enabled it, and admin commands
follow. No command is fetched behind a ``shutdown``; the front reports its end by itself.

From the firmware to the front (replies). Each is a ``Reply`` of 24 bytes, carried out in order;
the front takes its last byte when it has been carried out, so that the mailbox' status tells, in
bounded time. ``tag`` is the CID of the admin command that it belongs to, which is completed with
``status`` and ``result`` afterwards, unless ``silent`` is set: most admin commands need one reply.

| kind | does | needs |
|---|---|---|
| ``COMPLETE`` | nothing else | |
| ``CREATE_CQ`` | completion queue ``queue`` starts | address, last, vector, threshold, time |
| ``CREATE_SQ`` | submission queue ``queue`` starts | address, last, cq |
| ``DELETE_CQ`` | completion queue ``queue`` is forgotten | |
| ``DELETE_SQ`` | its commands are cancelled, without completions, and it is forgotten | |
| ``COALESCE`` | sets when completion queue ``queue`` interrupts | threshold, time |
| ``ABORT`` | stops command ``cid`` of ``queue``; if it was under way it is completed with Command \
Abort Requested, and bit 0 of this reply's ``result`` is cleared | cid; ``result`` 1 |
| ``FAIL`` | sets CSTS.CFS | |

The firmware checks what the host asks for; the front relies on it: identifiers that exist, 1 to
the number of I/O queues; ``last`` from 1 to the largest size less one (CAP.MQES); addresses on
pages (only contiguous queues exist); vectors that exist; no queue created twice; no completion
queue deleted that a submission queue uses. A reply for a function that is not running is dropped.

An admin command is fetched only when the admin completion queue has room for its answer, so
Asynchronous Event Requests hold entries of it: firmware must allow few.
"""

from amaranth.lib import data, enum

__all__ = ["NO_INTERRUPT", "Events", "Reply", "ReplyKind", "RequestKind"]

#: The vector of a completion queue that raises no interrupts.
NO_INTERRUPT = 0xFF


class RequestKind(enum.IntEnum, shape=8):
    """What a message from the front is."""

    ADMIN = 0
    EVENT = 1


class Events(data.Struct):
    """What has happened to a function since its last such message.

    Members
    -------
    stopped : 1 bit
        The controller was reset: by CC.EN, or its function.
    started : 1 bit
        The host has enabled it.
    shutdown : 1 bit
        The host has asked for a shutdown, by CC.SHN.
    invalid_register, invalid_value : 1 bit
        The host has written a doorbell of a queue that does not exist, or a value that is not
        possible; the write was ignored (Base 2.0, 5.2: asynchronous events 00h and 01h).
    fatal : 1 bit
        An entry could not be read from host memory; CSTS.CFS is set.
    """

    stopped: 1
    started: 1
    shutdown: 1
    invalid_register: 1
    invalid_value: 1
    fatal: 1
    _reserved: 58


class ReplyKind(enum.IntEnum, shape=8):
    """What the firmware asks for."""

    COMPLETE = 0
    CREATE_CQ = 1
    CREATE_SQ = 2
    DELETE_CQ = 3
    DELETE_SQ = 4
    COALESCE = 5
    ABORT = 6
    FAIL = 7


class Reply(data.Struct):
    """A reply's content. Fields that its kind does not need are not looked at.

    Members
    -------
    queue : 8 bits
        Identifier of the queue in question.
    partner : 8 bits
        ``CREATE_CQ``: MSI-X vector, or ``NO_INTERRUPT``. ``CREATE_SQ``: its completion queue.
    last : 16 bits
        Entries less one, as QSIZE.
    threshold : 8 bits
        Entries less one that wait before an interrupt, as THR of Interrupt Coalescing.
    time : 8 bits
        For at most how long, in units of 100 us, as TIME; zero: each entry interrupts at once.
    cid : 16 bits
        ``ABORT``: the command in question.
    address : 64 bits
        Of the queue's first byte.
    result : 32 bits
        Dword 0 of the completion entry.
    status : 16 bits
        Status field as ``niter.nvme.command.Completion`` has it; bit 15 is zero.
    silent : 8 bits
        Not zero: complete no command.
    """

    queue: 8
    partner: 8
    last: 16
    threshold: 8
    time: 8
    cid: 16
    address: 64
    result: 32
    status: 16
    silent: 8
    _reserved: 8
