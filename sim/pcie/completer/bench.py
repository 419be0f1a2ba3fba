"""The answering half of the transaction layer behind cocotbext-pcie's root complex."""

from .configuration import *  # noqa: F403
from .errors import *  # noqa: F403
from .interrupts import *  # noqa: F403
from .linux import *  # noqa: F403
from .registers import *  # noqa: F403
from .setup import BENCH

__all__ = ["BENCH"]
