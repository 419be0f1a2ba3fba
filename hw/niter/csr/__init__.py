"""Control and status registers: declared once as classes, documented from the same source."""

from . import action
from .bus import DATA_WIDTH, SPAN_LATENCY, Decoder, Interface, Signature, decoder_of
from .counter import CounterArray, CounterBank
from .memory import MemoryMap, ResourceInfo, WindowInfo
from .reg import Bridge, Builder, Field, FieldInfo, Register
from .words import WordArray

__all__ = [
    "DATA_WIDTH",
    "SPAN_LATENCY",
    "Bridge",
    "Builder",
    "CounterArray",
    "CounterBank",
    "Decoder",
    "Field",
    "FieldInfo",
    "Interface",
    "MemoryMap",
    "Register",
    "ResourceInfo",
    "Signature",
    "WindowInfo",
    "WordArray",
    "action",
    "decoder_of",
]
