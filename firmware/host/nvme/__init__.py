"""The NVMe admin firmware on this machine: the same C as in the card, for tests and benches."""

from .process import Admin, Identity, Namespace

__all__ = ["Admin", "Identity", "Namespace"]
