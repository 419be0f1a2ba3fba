"""TLP headers: formats, types and field layouts (PCI Express Base 4.0, 2.2).

The specification draws a header as big-endian doublewords; a packet stream carries the
same bytes from lane 0 up. ``swap_dwords`` turns a beat into two doublewords (and back),
in which the structures below can be viewed: their first member is the least significant
bit of the first doubleword. Structures of two doublewords fit one beat.
"""

from amaranth.hdl import Cat, Value, ValueLike
from amaranth.lib import data, enum

__all__ = [
    "CompletionHead",
    "CompletionStatus",
    "CompletionTail",
    "ConfigurationTail",
    "Identifier",
    "MessageCode",
    "MessageHead",
    "RequestHead",
    "TlpCommon",
    "TlpFormat",
    "TlpType",
    "swap_dwords",
]


class TlpFormat(enum.IntEnum, shape=3):
    """Fmt: bit 0 says four doublewords of header, bit 1 that data follows (2.2.1)."""

    THREE = 0b000
    FOUR = 0b001
    THREE_DATA = 0b010
    FOUR_DATA = 0b011
    PREFIX = 0b100


class TlpType(enum.IntEnum, shape=5):
    """Type (table 2-3). The three low bits of a message say how it is routed (table 2-18)."""

    MEMORY = 0b00000
    MEMORY_LOCKED = 0b00001
    IO = 0b00010
    CONFIGURATION_0 = 0b00100
    CONFIGURATION_1 = 0b00101
    COMPLETION = 0b01010
    COMPLETION_LOCKED = 0b01011
    FETCH_ADD = 0b01100
    SWAP = 0b01101
    COMPARE_SWAP = 0b01110
    MESSAGE_TO_ROOT = 0b10000
    MESSAGE_BY_ADDRESS = 0b10001
    MESSAGE_BY_ID = 0b10010
    MESSAGE_BROADCAST = 0b10011
    MESSAGE_LOCAL = 0b10100
    MESSAGE_GATHERED = 0b10101


class CompletionStatus(enum.IntEnum, shape=3):
    """Completion Status (table 2-34)."""

    SUCCESSFUL = 0b000
    UNSUPPORTED_REQUEST = 0b001
    CONFIGURATION_RETRY = 0b010
    COMPLETER_ABORT = 0b100


class MessageCode(enum.IntEnum, shape=8):
    """Codes of the messages that an endpoint sends, or must not take for an error (2.2.8)."""

    UNLOCK = 0x00
    PM_ACTIVE_STATE_NAK = 0x14
    PME_TURN_OFF = 0x19
    PME_TO_ACK = 0x1B
    ERR_COR = 0x30
    ERR_NONFATAL = 0x31
    ERR_FATAL = 0x33
    SET_SLOT_POWER_LIMIT = 0x50
    VENDOR_0 = 0x7E
    VENDOR_1 = 0x7F


class Identifier(data.Struct):
    """Requester or Completer ID."""

    function: 3
    device: 5
    bus: 8


class TlpCommon(data.Struct):
    """First doubleword of every header."""

    #: Doublewords of payload, asked for or carried; zero is 1024.
    length: 10
    address_type: 2
    #: No Snoop in bit 0, Relaxed Ordering in bit 1.
    attributes: 2
    poisoned: 1
    #: A digest (ECRC) follows the payload.
    digest: 1
    hints: 1
    lightweight: 1
    id_ordering: 1
    tag_8: 1
    traffic_class: 3
    tag_9: 1
    type: TlpType
    fmt: TlpFormat


class RequestHead(data.Struct):
    """First two doublewords of a memory, I/O, configuration or atomic request."""

    common: TlpCommon
    first_enables: 4
    last_enables: 4
    tag: 8
    requester: Identifier


class MessageHead(data.Struct):
    """First two doublewords of a message."""

    common: TlpCommon
    code: MessageCode
    tag: 8
    requester: Identifier


class CompletionHead(data.Struct):
    """First two doublewords of a completion."""

    common: TlpCommon
    #: Bytes still to come for this request, this completion's included; zero is 4096.
    byte_count: 12
    modified: 1
    status: CompletionStatus
    completer: Identifier


class CompletionTail(data.Struct):
    """Third doubleword of a completion."""

    #: Address, modulo 128, of the first byte that is wanted.
    lower_address: 7
    reserved: 1
    tag: 8
    requester: Identifier


class ConfigurationTail(data.Struct):
    """Third doubleword of a configuration request."""

    reserved_low: 2
    #: Doubleword of configuration space.
    register: 10
    reserved_high: 4
    target: Identifier


def swap_dwords(value: ValueLike) -> Value:
    """Reverse the bytes within each doubleword of ``value``: stream order to header or back."""
    value = Value.cast(value)
    return Cat(
        value[offset + lane : offset + lane + 8]
        for offset in range(0, len(value), 32)
        for lane in (24, 16, 8, 0)
    )
