"""A whole card with what lets Python look at it by the packet: cables, and a slot."""

from amaranth import DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, connect, flipped

from niter.card import Card
from niter.pcie.tl.layouts import LinkPort
from sim.models import cable, slot

__all__ = ["Cabled"]


def _lead_out(m, inside, outside, name: str) -> None:
    """Connect a member of a part with that of the whole."""
    member = inside.signature.members[name]
    inner, outer = getattr(inside, name), getattr(outside, name)
    if member.is_signature:
        connect(m, inner, flipped(outer))
    else:
        m.d.comb += inner.eq(outer) if member.flow == wiring.In else outer.eq(inner)


class Cabled(wiring.Component):
    """A card with a cable at each port, all on one clock, ``gmii``, and in a slot.

    Parameters
    ----------
    card
        The card.

    Members
    -------
    feed<n>, gather<n>
        The ends of port *n*'s cable.
    spread, gather
        The ends of the slot.
    link
        What is left of the card's: ``up`` and the credits.
    and those of the card, but for ``transmit`` and ``receive``.

    Attributes
    ----------
    config : CardConfig
        Of the card.
    """

    def __init__(self, card: Card) -> None:
        self.card = card
        self.config = card.config
        members = {
            name: member
            for name, member in card.signature.members.items()
            if name not in ("link", "transmit", "receive")
        }
        self._through = tuple(members)
        self._link = [name for name in LinkPort.members if name not in ("rx", "tx")]
        members["link"] = Out(
            wiring.Signature({name: LinkPort.members[name] for name in self._link})
        )
        #: Ends, each with the member that leads to the card.
        self._ends = {"spread": (slot.Spread(), "o"), "gather": (slot.Gather(), "i")}
        for number in range(card.config.ports):
            self._ends[f"feed{number}"] = cable.Feed(), "gmii"
            self._ends[f"gather{number}"] = cable.Gather(), "gmii"
        for name, (end, inner) in self._ends.items():
            outside = {k: v for k, v in end.signature.members.items() if k != inner}
            members[name] = Out(wiring.Signature(outside))
        super().__init__(members)
        self.csr.memory_map = card.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        domains = {
            f"gmii{number}_{half}": "gmii"
            for number in range(self.config.ports)
            for half in ("rx", "tx")
        }
        m.submodules.card = DomainRenamer(domains)(self.card)
        for name in self._through:
            _lead_out(m, self.card, self, name)
        for name in self._link:
            _lead_out(m, self.card.link, self.link, name)
        for name, (end, inner) in self._ends.items():
            m.submodules[name] = end
            for member in end.signature.members:
                if member != inner:
                    _lead_out(m, end, getattr(self, name), member)
        connect(m, self._ends["spread"][0].o, self.card.link.rx)
        connect(m, self.card.link.tx, self._ends["gather"][0].i)
        for number in range(self.config.ports):
            connect(m, self.card.receive[number], self._ends[f"feed{number}"][0].gmii)
            connect(m, self.card.transmit[number], self._ends[f"gather{number}"][0].gmii)
        return m
