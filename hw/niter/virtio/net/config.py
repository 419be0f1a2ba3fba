"""virtio-net as the transport sees it: what it offers, and its configuration structure."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS
from niter.stream import Ram
from niter.virtio.features import NetFeature, RingFeature
from niter.virtio.pci import DeviceConfig, DeviceKind

__all__ = ["NetConfig", "net_device"]

_WORDS = 16
_PAIRS_WORD = 2
_MTU, _SPEED, _FULL_DUPLEX = 1500, 1000, 1


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


class _Select(csr.Register, access="rw"):
    """Which word of which function's structure ``value`` writes."""

    word: csr.Field(csr.action.RW, 3, doc="Byte offset in the structure, divided by four.")
    reserved: csr.Field(csr.action.Reserved, 5)
    function: csr.Field(csr.action.RW, 3, doc="Number of the function.")


class _Value(csr.Register, access="w"):
    """Writes the word; the driver gets a configuration interrupt.

    Word 0 and the low half of word 1 are the MAC address, first byte lowest; the high half
    of word 1 is the status, bit 0 of it LINK_UP. The high half of word 2 is the MTU; its low
    half, max_virtqueue_pairs, cannot be written. Word 3 is the speed in Mb/s, word 4 is 1
    for full duplex.
    """

    value: csr.Field(csr.action.W, 32, doc="Content of the word.")


class NetConfig(wiring.Component):
    """The configuration structures of all functions (virtio 1.2, 5.1.4), written by control.

    Before control writes them, functions have a MAC address of zeros, no link, and an MTU of
    1,500 bytes, at 1 Gb/s full duplex.

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
    csr : In(csr.Signature(addr_width=1))
        Registers ``select`` and ``value``, to write the structures by.
    """

    def __init__(self, functions: int, pairs: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.functions = functions
        self.pairs = pairs
        builder = csr.Builder(addr_width=1)
        self._select = builder.add("select", _Select())
        self._value = builder.add("value", _Value())
        self._bridge = csr.Bridge(builder.as_memory_map())
        super().__init__({"config": In(DeviceConfig), "csr": In(csr.Signature(addr_width=1))})
        self.csr.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        connect(m, flipped(self.csr), self._bridge.bus)

        structure = [0, 0, self.pairs | _MTU << 16, _SPEED, _FULL_DUPLEX, *[0] * 11]
        m.submodules.structures = structures = Ram(
            shape=32, depth=_WORDS * self.functions, init=structure * self.functions
        )
        read = structures.read_port()
        write = structures.write_port(granularity=16)
        m.d.comb += [
            read.addr.eq(Cat(self.config.address, self.config.function)),
            read.en.eq(self.config.request),
            self.config.data.eq(read.data),
        ]

        # A write waits for a cycle in which nothing is read.
        waiting = Signal()
        word = Signal(3)
        function = Signal(3)
        select, value = self._select.f, self._value.f.value
        with m.If(value.w_stb):
            m.d.sync += [
                word.eq(select.word.data),
                function.eq(select.function.data),
                write.data.eq(value.w_data),
            ]
        go = Signal()
        m.d.sync += waiting.eq(value.w_stb | (waiting & ~go))
        m.d.comb += [
            go.eq(waiting & ~self.config.request),
            write.addr.eq(Cat(word, Const(0, 1), function)),
            write.en.eq(Cat(go & (word != _PAIRS_WORD), go)),
            self.config.changed.bit_select(function, 1).eq(go),
        ]
        return m
