"""What makes the root complex of cocotbext-pcie faster and changes nothing that it does.

Each hop of a TLP asks dozens of times for its type and for what that type belongs to, and both
take an enumeration's way through Python: a third of the time of a whole card's simulation.
"""

from cocotbext.pcie.core.tlp import Tlp, TlpType, tlp_type_fc_type_mapping

__all__ = ["hasten"]


def hasten() -> None:
    """Let members of ``TlpType`` hash by identity, and a TLP look its type up."""
    classes = list(tlp_type_fc_type_mapping.items())
    TlpType.__hash__ = object.__hash__
    tlp_type_fc_type_mapping.clear()
    tlp_type_fc_type_mapping.update(classes)
    types = {each.value: each for each in TlpType}
    Tlp.fmt_type = property(lambda tlp: types[tlp.fmt, tlp.type], Tlp.fmt_type.fset)
