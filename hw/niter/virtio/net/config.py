"""virtio-net as the transport sees it: what it offers, and its configuration structure."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from niter import csr
from niter.interface import MAX_FUNCTIONS
from niter.virtio.features import NetFeature, RingFeature
from niter.virtio.pci import DeviceConfig, DeviceKind

__all__ = ["NetConfig", "net_device"]


def net_device(pairs: int, queue_size: int = 256) -> DeviceKind:
    """A network device with ``pairs`` queue pairs and a control queue behind them.

    Parameters
    ----------
    pairs
        1 to 6.
    queue_size
        Largest size of its queues.
    """
    return DeviceKind(
        device=1,
        class_code=0x020000,
        queues=2 * pairs + 1,
        queue_size=queue_size,
        pulled=lambda index: index < 2 * pairs and index % 2 == 0,
        features=frozenset(NetFeature) | frozenset(RingFeature),
        requires=((NetFeature.MQ, NetFeature.CTRL_VQ),),
    )


class NetConfig(wiring.Component):
    """The configuration structures of all functions (virtio 1.2, 5.1.4), written by control.

    Parameters
    ----------
    functions
        How many.
    pairs
        What max_virtqueue_pairs says.

    Members
    -------
    config : In(DeviceConfig)
        The transport's look-ups.
    csr : In(csr.Signature(addr_width=2))
        Registers to write the structures by.
    """

    def __init__(self, functions: int, pairs: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.functions = functions
        self.pairs = pairs
        super().__init__({"config": In(DeviceConfig), "csr": In(csr.Signature(addr_width=2))})

    def elaborate(self, platform):  # noqa: D102
        return Module()
