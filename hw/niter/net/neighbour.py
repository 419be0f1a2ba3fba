"""Answers to ARP requests and neighbour solicitations."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory

from .config import OverlayConfig
from .protocol import EtherType, IpProtocol
from .stage import Stage

__all__ = ["Neighbour"]
