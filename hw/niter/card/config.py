"""What a card is built from: one frozen dataclass, checked when it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from niter.interface import MAX_PACKET_BYTES
from niter.net.stage import Stage

__all__ = ["CardConfig"]

#: Ethernet header with a VLAN tag, outside of what an MTU counts.
_ETHERNET_BYTES = 18


@dataclass(frozen=True)
class CardConfig:
    """Everything that is decided before synthesis.

    Parameters
    ----------
    functions
        Network functions on the PCIe side, 1 to 4.
    pairs
        Queue pairs of each, 1 to 4.
    queue_size
        Largest virtqueue, a power of two from 2 to 1024.
    ports
        Ethernet ports, 1 or 2.
    frame_bytes
        Longest frame on the wire, without FCS; buffers are sized by it.
    clock_hz
        Of the core.
    ipv6, geneve
        What the overlay understands beside IPv4 and VXLAN.
    tx_stages, rx_stages
        Stages of one's own: names and what makes them. They see tenant frames, ``tx`` before
        the source check, ``rx`` after decapsulation.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """

    functions: int = 2
    pairs: int = 4
    queue_size: int = 256
    ports: int = 1
    frame_bytes: int = 2000
    clock_hz: int = 62_500_000
    ipv6: bool = True
    geneve: bool = True
    tx_stages: Mapping[str, Callable[[], Stage]] = field(default_factory=dict)
    rx_stages: Mapping[str, Callable[[], Stage]] = field(default_factory=dict)

    def __post_init__(self):
        for name, low, high in (
            ("functions", 1, 4),
            ("pairs", 1, 4),
            ("queue_size", 2, 1024),
            ("ports", 1, 2),
            ("frame_bytes", 1600, MAX_PACKET_BYTES),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")
        if self.queue_size & (self.queue_size - 1):
            raise ValueError(f"queue_size must be a power of two, not {self.queue_size!r}")
