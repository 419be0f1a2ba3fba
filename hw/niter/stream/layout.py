"""How components of this room find the packet's beat in the payload of a stream."""

from typing import Any

from amaranth.lib import data

from niter.interface import Beat

__all__ = ["beat_of", "sideband_of"]


def beat_of(payload: Any) -> Any:
    """The beat in a payload: its field ``packet``, or the payload itself if it has none."""
    fields = {name for name, _ in data.Layout.cast(payload.shape())}
    return payload.packet if "packet" in fields else payload


def sideband_of(shape: Any) -> data.StructLayout:
    """Layout of everything in ``shape`` but the beat; empty for ``Beat`` itself.

    Raises
    ------
    TypeError
        ``shape`` is neither ``Beat`` nor a structure with ``packet: Beat``.
    """
    if shape is Beat:
        return data.StructLayout({})
    try:
        members = {name: field.shape for name, field in data.Layout.cast(shape)}
    except TypeError:
        members = {}
    if members.pop("packet", None) is not Beat:
        raise TypeError(
            f"Payload must be Beat or a structure with a field packet of shape Beat, not {shape!r}"
        )
    return data.StructLayout(members)
