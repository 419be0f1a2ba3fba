"""What stands between the card and a board's pins, in the ECP5's own cells."""

from .clocks import Clocks, Pll
from .flash import Flash, FlashPins
from .lane import Lane
from .mdio import Mdio
from .rgmii import Rgmii
from .uart import UartBridge

__all__ = ["Clocks", "Flash", "FlashPins", "Lane", "Mdio", "Pll", "Rgmii", "UartBridge"]
