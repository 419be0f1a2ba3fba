"""Encryption as a stage on the block contract."""

from .stage import Encryption

__all__ = ["Encryption"]
