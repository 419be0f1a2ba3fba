"""The control half: a soft core, its memories and peripherals, and the mailbox."""

from .config import SocConfig
from .mailbox import Mailbox
from .packet import FrameTap
from .soc import Soc

__all__ = ["FrameTap", "Mailbox", "Soc", "SocConfig"]
