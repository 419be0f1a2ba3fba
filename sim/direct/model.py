"""A model and its streams, as Python has them."""

import ctypes
from pathlib import Path
from typing import Any

from amaranth.hdl import Const
from amaranth.lib import data

from niter.interface import MAX_PACKET_BYTES, Beat, FrameBeat

__all__ = ["Model", "Stream"]

#: Where a frame says how long it is.
_FRAME = data.Layout.cast(FrameBeat)
_LENGTH = _FRAME["meta"].offset + data.Layout.cast(_FRAME["meta"].shape)["length"].offset

#: Of a size, that the packet ended in an error.
_ERROR = 1 << 31


class Stream:
    """A port of a model. It is a stream of packets or frames if its shape is ``Beat`` or
    ``FrameBeat``, and otherwise of payloads.

    Parameters
    ----------
    model, name
        Where it is.
    shape
        Of its payload.
    stall
        Share of the cycles in which it rests.
    """

    def __init__(self, model: "Model", name: str, shape: Any, *, stall: float = 0.0):
        self._library, self._handle = model._library, model._handle
        self._shape = shape
        self._at = self._library.niter_find(self._handle, name.encode())
        if self._at < 0:
            raise ValueError(f"The model has no stream {name!r}")
        self._width = self._library.niter_width(self._handle, self._at)
        self._packets = shape in (Beat, FrameBeat)
        self._base = bytes(self._width)
        if self._packets:
            places = (
                data.Layout.cast(Beat)[key].offset for key in ("data", "empty", "last", "error")
            )
            self._library.niter_shape(self._handle, self._at, *places)
        self._library.niter_stall(self._handle, self._at, round(stall * 65536))
        self._room = ctypes.create_string_buffer(max(self._width, MAX_PACKET_BYTES + 8))

    def put(self, value: Any, *, error: bool = False) -> None:
        """Let it offer a payload (a value of the shape, or its bits), or a packet's bytes."""
        base, content = self._base, b""
        if not self._packets:
            bits = value if isinstance(value, int) else Const.cast(self._shape.const(value)).value
            base = bits.to_bytes(self._width, "little")
        else:
            content = bytes(value)
            if self._shape is FrameBeat:
                base = (len(content) << _LENGTH).to_bytes(self._width, "little")
        self._library.niter_put(self._handle, self._at, content, len(content), error, base)

    def __len__(self) -> int:
        """Payloads that wait to be offered, or items that wait to be taken."""
        return self._library.niter_waiting(self._handle, self._at)

    def take(self) -> Any:
        """What came: a payload, or a packet's bytes; None for one that ended in an error."""
        size = self._library.niter_take(self._handle, self._at, self._room, len(self._room))
        if size & _ERROR:
            return None
        content = self._room.raw[:size]
        if self._packets:
            return content
        bits = int.from_bytes(content, "little")
        return self._shape.from_bits(bits) if hasattr(self._shape, "from_bits") else bits


class Model:
    """A component that runs.

    Parameters
    ----------
    library
        From ``build_model``.
    seed
        Of its streams' stalls.
    """

    def __init__(self, library: Path, seed: int = 1):
        self._library = made = ctypes.CDLL(str(library))
        made.niter_new.restype = ctypes.c_void_p
        made.niter_broken.restype = ctypes.c_char_p
        for name in ("run", "peek"):
            getattr(made, f"niter_{name}").restype = ctypes.c_uint64
        for name in ("width", "waiting"):
            getattr(made, f"niter_{name}").restype = ctypes.c_size_t
        made.niter_take.restype = ctypes.c_uint32
        self._handle = ctypes.c_void_p(made.niter_new(seed))
        made.niter_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
        made.niter_poke.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint64]
        #: Cycles so far.
        self.now = 0
        self.poke("rst", 1)
        self.run(4)
        self.poke("rst", 0)

    def run(self, cycles: int) -> None:
        """Run so many cycles, or until a stream has given something whole.

        Raises
        ------
        AssertionError
            A stream broke its contract.
        """
        self.now = self._library.niter_run(self._handle, cycles)
        broken = self._library.niter_broken(self._handle)
        assert not broken, f"cycle {self.now}: {broken.decode()}"

    def poke(self, name: str, value: int) -> None:
        """Set an input that is part of no stream."""
        self._library.niter_poke(self._handle, name.encode(), value)

    def peek(self, name: str) -> int:
        """An output that is part of no stream, as it was behind the last edge."""
        return self._library.niter_peek(self._handle, name.encode())

    def close(self) -> None:
        """Let go of it."""
        self._library.niter_delete(self._handle)
