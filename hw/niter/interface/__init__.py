"""The contracts between rooms, and nothing else: signatures, layouts and their rules."""

from .frame import (
    ChecksumSlot,
    FrameBeat,
    FrameMeta,
    FrameStream,
    Headers,
    Verdict,
)
from .function import (
    MAX_FUNCTIONS,
    Bar,
    Capability,
    Function,
    FunctionPort,
    Msix,
    RegisterReply,
    RegisterRequest,
    WindowCapability,
)
from .memory import (
    MAX_TRANSFER_BYTES,
    HostRead,
    HostWrite,
    ReadBeat,
    ReadCommand,
    WriteCommand,
    WriteKind,
)
from .packet import BEAT_BYTES, MAX_PACKET_BYTES, Beat, PacketStream

__all__ = [
    "BEAT_BYTES",
    "MAX_FUNCTIONS",
    "MAX_PACKET_BYTES",
    "MAX_TRANSFER_BYTES",
    "Bar",
    "Beat",
    "Capability",
    "ChecksumSlot",
    "FrameBeat",
    "FrameMeta",
    "FrameStream",
    "Function",
    "FunctionPort",
    "Headers",
    "HostRead",
    "HostWrite",
    "Msix",
    "PacketStream",
    "ReadBeat",
    "ReadCommand",
    "RegisterReply",
    "RegisterRequest",
    "Verdict",
    "WindowCapability",
    "WriteCommand",
    "WriteKind",
]
