"""Verilated models inside of a Python process, for benches with many packets and few pins.

Streams are driven and taken by C++ (``streams.cpp``), which also asserts their contract; Python
sees whole packets. That is some hundred times faster than a coroutine for each beat.
"""

from .build import build_model
from .model import Model, Stream

__all__ = ["Model", "Stream", "build_model"]
