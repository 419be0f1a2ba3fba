"""The numbers of the management protocol.

This is their only declaration: the firmware's header is generated from it
(``firmware.generate``). The messages are in ``docs/management.cddl``.
"""

from enum import IntEnum

__all__ = [
    "ANSWER",
    "CHUNK",
    "COUNTERS",
    "DATAGRAM",
    "PIECE",
    "PORT",
    "PROBE_PADDING",
    "Command",
    "Event",
    "Health",
    "Role",
    "Slot",
    "Status",
    "Verdict",
]

#: UDP port of the card's listener.
PORT = 7847
#: Bytes of the longest datagram: what fits the least MTU of IPv6.
DATAGRAM = 1232
#: Bytes of the longest answer, of which the card keeps one for each session.
ANSWER = 640
#: Bytes that a probe carries for nothing, so that its answer is never longer than the question.
PROBE_PADDING = 64
#: Bytes of an image that one request carries at most, and of a document that one answer does.
CHUNK, PIECE = 1024, 512
#: Counters of a page; one of fewer is the last.
COUNTERS = 60


class Role(IntEnum):
    """What the holder of a key may do; each may do what those before it may."""

    #: Reads, and asks for attestation.
    OBSERVER = 0
    #: Provisions ports, routes and volumes, and sets the time.
    OPERATOR = 1
    #: Changes the policy, resets.
    OWNER = 2


class Command(IntEnum):
    """What a request asks for."""

    STATUS = 1
    COUNTERS = 2
    PORT_LIST = 3
    PORT_SET = 4
    PORT_REMOVE = 5
    ROUTE_LIST = 6
    ROUTE_SET = 7
    ROUTE_REMOVE = 8
    TIME_SET = 9
    LOG = 10
    ATTEST = 11
    ATTEST_READ = 12
    UPDATE_BEGIN = 13
    UPDATE_WRITE = 14
    UPDATE_END = 15
    POLICY_READ = 17
    POLICY_WRITE = 18
    RESET = 19
    TUNNEL_LIST = 20
    VOLUME_LIST = 21
    VOLUME_ATTACH = 22
    VOLUME_DETACH = 23
    VOLUME_TUNNEL = 24


class Status(IntEnum):
    """How a request ended."""

    OK = 0
    #: No such command, or arguments that it does not take.
    MALFORMED = 1
    #: The role does not permit it.
    FORBIDDEN = 2
    #: A value is outside of what the card has.
    RANGE = 3
    #: A table has no room left.
    FULL = 4
    #: What is to be removed or read is not there.
    MISSING = 5
    #: The card is not in a state in which this can be done.
    STATE = 6
    #: The flash refused or failed, or holds something else than was written.
    FLASH = 7
    #: This card cannot do it.
    UNSUPPORTED = 8


class Event(IntEnum):
    """What the log tells; each has an argument."""

    #: The services began. Argument: 1 after a reset by the watchdog.
    START = 1
    #: A session was opened. Argument: its role.
    SESSION = 2
    #: An ``open`` was refused. Argument: 1 unknown key, 2 role, 3 stamp, 4 signature,
    #: 5 another card or boot.
    REFUSED = 3
    #: Datagrams came faster than they are taken. Argument: how many were dropped since the last.
    LIMITED = 4
    #: A function was provisioned, or closed. Argument: the function.
    PORT = 5
    PORT_CLOSED = 6
    #: The card's time was set. Argument: the difference in seconds, at most 2^31 - 1.
    TIME = 7
    #: The loader started an image. Argument: its slot.
    BOOT = 8
    #: The loader passed a slot over. Argument: 256 times its number, and its verdict.
    PASSED_OVER = 9
    #: An image was written to the slot that does not run. Argument: as before.
    UPDATE = 10
    #: The firmware that runs has served a client: it is kept. Argument: its slot.
    CONFIRMED = 11
    #: The policy in flash was replaced; it holds from the next reset.
    POLICY = 12
    #: A document was signed.
    ATTEST = 13
    #: The policy in flash is damaged or absent: nobody can open a session.
    NO_POLICY = 14
    #: The random source failed its test: no session can be opened.
    RANDOM = 15
    #: A reset was asked for.
    RESET = 16
    #: A volume was attached, or detached. Argument: its number.
    VOLUME = 17
    VOLUME_DETACHED = 18


class Slot(IntEnum):
    """Where an image can stand."""

    A = 0
    B = 1
    GOLDEN = 2


class Verdict(IntEnum):
    """What the loader finds of an image."""

    NOT_TRIED = 0
    STARTED = 1
    #: No image header.
    ABSENT = 2
    #: Lengths that do not fit.
    MALFORMED = 3
    #: A security counter below the card's.
    ROLLBACK = 4
    #: Not signed with our key, or changed since.
    SIGNATURE = 5
    #: Started before, too often, and never confirmed.
    FAILED = 6


class Health(IntEnum):
    """Bits of the card's health; none is good."""

    RANDOM_FAILED = 1
    POLICY_MISSING = 2
    WATCHDOG_RESET = 4
    TIME_UNKNOWN = 8
    CERTIFICATE_MISSING = 16
    #: The random numbers are a simulation's.
    RANDOM_PREDICTABLE = 32
