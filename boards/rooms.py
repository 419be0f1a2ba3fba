"""What each room is allowed to cost, and how to make it as the network card has it."""

import importlib
from dataclasses import dataclass

from amaranth.lib import wiring

from niter import interface

__all__ = ["ROOMS", "Room", "component", "find"]


@dataclass(frozen=True)
class Room:
    """A line of the ledger.

    Parameters
    ----------
    source
        ``module:expression``, which makes the component; names in the expression are the
        module's own, or those of ``niter.interface``. A module that is not there yet leaves
        its line out of the report.
    comb, ebr
        Limits: COMB is what nextpnr counts, LUTs, carry and LUT-RAM together.
    mhz
        Clock that it must reach by itself.
    clocks
        Domains other than ``sync``, and their clocks in MHz.
    summed
        Is part of the network card, and not another form of a room that is.
    """

    source: str
    comb: int | None = None
    ebr: int | None = None
    mhz: float = 100
    clocks: tuple[tuple[str, float], ...] = ()
    summed: bool = True


#: Rooms of the network card for one port, as it is configured by default.
ROOMS = {
    "pcie.tl": Room("niter.card.rooms:transaction_layer()", comb=5000, ebr=10),
    "virtio": Room("niter.card.rooms:virtio_net()", comb=5000, ebr=14),
    "overlay": Room("niter.card.rooms:overlay()", comb=3000, ebr=10),
    "overlay.ipv6": Room("niter.card.rooms:overlay_ipv6()", comb=4000, ebr=12, summed=False),
    "mac": Room("niter.card.rooms:mac()", comb=700, ebr=0, clocks=(("rx", 125), ("tx", 125))),
}


def find(name: str) -> Room:
    """The room of that name, or one without limits for a ``module:expression``.

    Raises
    ------
    LookupError
        If it is neither.
    """
    if name in ROOMS:
        return ROOMS[name]
    if ":" not in name:
        raise LookupError(f"No room is called {name!r}; there are: {', '.join(ROOMS)}")
    return Room(name)


def component(room: Room) -> wiring.Component | None:
    """Make a room's component; None when its module does not exist."""
    module_name, _, expression = room.source.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            return None
        raise
    return eval(expression, {**vars(interface), **vars(module)})
