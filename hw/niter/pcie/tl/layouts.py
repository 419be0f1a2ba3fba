"""What the parts of the transaction layer share: its lower edge and the functions' state.

TLPs travel as packet streams (``niter.interface.packet``) in the order of bytes on the
link: lane 0 of the first beat is byte 0 of the header. No prefix for sequence number,
no LCRC, and no ECRC (TD is never set by us; on receive a digest is removed). ``empty``
is 0 or 4. A received TLP that the data link layer nullified ends with ``error``.
"""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, PacketStream

__all__ = [
    "Credits",
    "ErrorReport",
    "FunctionState",
    "FunctionStates",
    "Interrupt",
    "LinkPort",
    "LinkState",
    "Refused",
    "TlpErrors",
]


class Credits(data.Struct):
    """Flow control counters of the three TLP classes, running modulo their width (2.6.1).

    A header credit is one TLP; a data credit is 16 bytes.
    """

    posted_header: 8
    posted_data: 12
    nonposted_header: 8
    nonposted_data: 12
    completion_header: 8
    completion_data: 12


#: The transaction layer's lower edge, seen from the transaction layer.
#:
#: ``limit`` is what the link partner has granted in total (CREDIT_LIMIT), and a bit of
#: ``infinite`` (in the order of ``Credits``' members) says that it never ends.
#: ``allocated`` is what the receiver has granted (CREDITS_ALLOCATED); completions are
#: granted without end, as an endpoint must (2.6.1).
LinkPort = wiring.Signature(
    {
        "up": In(1),
        "rx": In(PacketStream),
        "tx": Out(PacketStream),
        "limit": In(Credits),
        "infinite": In(6),
        "allocated": Out(Credits),
    }
)


class FunctionState(data.Struct):
    """What configuration space says of one function to the rest of the room.

    Members
    -------
    memory : 1 bit
        Memory Space Enable: its BARs decode.
    master : 1 bit
        Bus Master Enable, and the function is released, in D0 and not in reset: it may
        send memory requests.
    payload : 1 bit
        Max_Payload_Size: 256 bytes, not 128.
    no_timeout : 1 bit
        Completion Timeout Disable.
    """

    memory: 1
    master: 1
    payload: 1
    no_timeout: 1


#: All functions' states, indexed by function number.
FunctionStates = data.ArrayLayout(FunctionState, MAX_FUNCTIONS)


class LinkState(data.Struct):
    """The ID that configuration requests have taught us, and the read completion boundary."""

    bus: 8
    device: 5
    #: Read Completion Boundary of the root: 0 is 64 bytes, 1 is 128.
    boundary: 1


class TlpErrors(data.Struct):
    """Errors to be logged (6.2), one bit for each kind.

    They set the error bits of Device Status and Status, and go up as ERR_NONFATAL or
    ERR_FATAL messages where enabled. Those that are *advisory* the requester learns of from
    a completion: they are logged as correctable and no message is sent (6.2.3.2.4).

    Members
    -------
    unsupported_request
        We refused a posted request.
    advisory_unsupported, advisory_abort
        We answered with Unsupported Request, or with Completer Abort.
    poisoned, advisory_poisoned
        A TLP came with EP set; it was a configuration request, and has been answered.
    data_parity
        With ``poisoned``: it was a completion for us, so Master Data Parity Error counts.
    unexpected_completion, completion_timeout, malformed
        As section 6.2 has them.
    received_master_abort, received_target_abort
        A completion for us said Unsupported Request, or Completer Abort.
    """

    unsupported_request: 1
    advisory_unsupported: 1
    advisory_abort: 1
    poisoned: 1
    advisory_poisoned: 1
    data_parity: 1
    unexpected_completion: 1
    completion_timeout: 1
    malformed: 1
    received_master_abort: 1
    received_target_abort: 1


class ErrorReport(data.Struct):
    """A strobe: errors of ``function``, or, with ``all``, such as name no function (6.2.4)."""

    errors: TlpErrors
    function: 3
    all: 1


class Refused(data.Struct):
    """Header of a received TLP, in the order of bytes on the link, and what was wrong with it."""

    first: 64
    second: 64
    malformed: 1
    poisoned: 1


class Interrupt(data.Struct):
    """Raise MSI-X ``vector`` of ``function``; all earlier writes are already in the posted path."""

    function: 3
    vector: 8
