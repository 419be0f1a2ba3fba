"""virtio-net as the transport sees it: what it offers, and its configuration structure."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.virtio.features import NetFeature, RingFeature
from niter.virtio.pci import DeviceConfig, DeviceKind
from niter.virtio.words import WordWriter

__all__ = ["NetConfig", "net_device"]

#: What firmware answers the commands of.
_SERVED = frozenset(
    {
        NetFeature.CTRL_RX,
        NetFeature.CTRL_VLAN,
        NetFeature.CTRL_RX_EXTRA,
        NetFeature.GUEST_ANNOUNCE,
        NetFeature.CTRL_MAC_ADDR,
    }
)
#: What means nothing without a control queue.
_COMMANDED = _SERVED | {NetFeature.MQ}

_PAIRS_WORD = 2
_MTU, _SPEED, _FULL_DUPLEX = 1500, 1000, 1


def net_device(pairs: int, queue_size: int = 256, *, services: bool = False) -> DeviceKind:
    """A network device with ``pairs`` queue pairs and a control queue behind them.

    Parameters
    ----------
    pairs
        1 to 6.
    queue_size
        Largest size of its queues.
    services
        Firmware answers the control queue: receive modes, VLANs, the MAC address and announcements
        are offered.
    """
    offered = frozenset(NetFeature) - (frozenset() if services else _SERVED)
    return DeviceKind(
        device=1,
        class_code=0x020000,
        queues=2 * pairs + 1,
        queue_size=queue_size,
        pulled=lambda index: index < 2 * pairs and index % 2 == 0,
        features=offered | frozenset(RingFeature),
        requires=tuple((each, NetFeature.CTRL_VQ) for each in sorted(_COMMANDED & offered)),
        config=(0, 0, pairs | _MTU << 16, _SPEED, _FULL_DUPLEX),
    )


class _Value(csr.Register, access="w"):
    """Writes the word; the driver gets a configuration interrupt.

    Word 0 and the low half of word 1 are the MAC address, first byte lowest; the high half
    of word 1 is the status, bit 0 of it LINK_UP and bit 1 ANNOUNCE. The high half of word 2 is
    the MTU; its low half, max_virtqueue_pairs, cannot be written. Word 3 is the speed in Mb/s,
    word 4 is 1 for full duplex.
    """

    value: csr.Field(csr.action.W, 32, doc="Content of the word.")


class NetConfig(wiring.Component):
    """Registers by which control changes configuration structures (virtio 1.2, 5.1.4).

    Before control writes them, functions have a MAC address of zeros, no link, and an MTU of
    1,500 bytes, at 1 Gb/s full duplex. The word in hand is written within a few cycles.

    Members
    -------
    config : Out(DeviceConfig)
        To the transport, who keeps the structures.
    csr : In(csr.Signature(addr_width=1))
        Registers ``select`` and ``value``, to write the structures by.
    """

    def __init__(self):
        self._words = WordWriter(_Value(), word_bits=3)
        super().__init__({"config": Out(DeviceConfig), "csr": In(csr.Signature(addr_width=1))})
        self.csr.memory_map = self._words.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.words = words = self._words
        connect(m, flipped(self.csr), words.csr)
        config = self.config
        m.d.comb += [
            config.valid.eq(words.valid),
            config.function.eq(words.function),
            config.word.eq(words.word),
            config.data.eq(words.data),
            config.mask[0].eq(words.word != _PAIRS_WORD),
            config.mask[1].eq(1),
            words.ready.eq(config.ready),
        ]
        return m
