"""The card as a whole: its configuration, and the top that knows all other rooms."""

from .config import CardConfig, StorageConfig
from .top import Card

__all__ = ["Card", "CardConfig", "StorageConfig"]
