"""What an overlay is built with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stage import Stage

__all__ = ["OverlayConfig", "StageList"]

#: A pipeline as it stands in a configuration.
StageList = tuple[tuple[str, Callable[["OverlayConfig"], "Stage"]], ...]


@dataclass(frozen=True)
class OverlayConfig:
    """Sizes and switches of the overlay, fixed when the card is built.

    Parameters
    ----------
    functions
        Network functions served, 1 to 7.
    ports
        Wire ports, 1 to 4.
    ipv6
        Tenants may use IPv6, and tunnels may run over it.
    geneve
        GENEVE is understood beside VXLAN.
    verify
        Checksums of layer 4 are verified in what comes from the wire: that of the tunnel's
        datagram where it has one, and that of the frame inside.
    peers
        Tunnel endpoints that the table of those who may send has words for, 0 or a power of two
        from 8 to 512. With 0 whoever reaches the card may send to it.
    slots
        Slots of the mapping table, a power of two from 16 to 8192. An IPv6 neighbour takes
        two. Nine in ten can be filled, and fewer with many IPv6 neighbours.
    tunnels
        Tunnel endpoints, a power of two from 4 to 1024.
    templates
        Header templates: one for each kind of outer header in use, 1 to 8.
    addresses
        IPv4 addresses that one function may own, 1 to 8; as many IPv6 ones beside them.
    replicas
        Copies of a broadcast frame, at most: a power of two from 2 to 64.
    replay_beats
        Depth of the replay buffers in beats of 8 bytes, a power of two: the longest frame
        that can be replicated.
    transmit, receive
        The stages of the two pipelines, first to last: a name and what makes the stage of this
        configuration. None stands for ``niter.net.TRANSMIT`` and ``niter.net.RECEIVE``.

    Raises
    ------
    ValueError
        A parameter is out of its range.
    """

    functions: int = 1
    ports: int = 1
    ipv6: bool = False
    geneve: bool = False
    verify: bool = False
    peers: int = 0
    slots: int = 1024
    tunnels: int = 64
    templates: int = 2
    addresses: int = 4
    replicas: int = 16
    replay_beats: int = 512
    transmit: StageList | None = None
    receive: StageList | None = None

    def __post_init__(self):
        for name, low, high in (
            ("functions", 1, 7),
            ("ports", 1, 4),
            ("peers", 8 if self.peers else 0, 512),
            ("slots", 16, 8192),
            ("tunnels", 4, 1024),
            ("templates", 1, 8),
            ("addresses", 1, 8),
            ("replicas", 2, 64),
            ("replay_beats", 16, 2048),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value!r}")
        for name in ("peers", "slots", "tunnels", "replicas", "replay_beats"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
