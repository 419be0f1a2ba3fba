"""The transport's frames inside VXLAN: a tunnel to one endpoint, and nothing else of an overlay."""

from .tunnel import OUTER_BYTES, Tunnel

__all__ = ["OUTER_BYTES", "Tunnel"]
