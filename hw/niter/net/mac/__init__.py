"""The Ethernet MAC: GMII on one side, frame streams on the other."""

from .buffer import TransmitBuffer
from .gmii import GmiiReceive, GmiiTransmit, Status
from .mac import Mac
from .receiver import Receiver
from .tally import Counter
from .transmitter import Transmitter

__all__ = [
    "Counter",
    "GmiiReceive",
    "GmiiTransmit",
    "Mac",
    "Receiver",
    "Status",
    "TransmitBuffer",
    "Transmitter",
]
