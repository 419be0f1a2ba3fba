"""virtio-blk as the transport sees it, and what control says of each function's disk."""

from dataclasses import dataclass

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS
from niter.stream import Ram
from niter.virtio.features import BlkFeature, RingFeature, mask
from niter.virtio.pci import DeviceConfig, DeviceKind
from niter.virtio.words import WordWriter

from .layouts import MAX_RANGE_SECTORS, MAX_SEGMENTS

__all__ = ["BlkConfig", "BlkSizes", "BlkWord", "blk_device"]

#: Bytes of the largest segment that a driver may use: as many segments as it may use then stay
#: below 32 MiB.
_MAX_SEGMENT_BYTES = 1 << 20

_FEATURES = frozenset(BlkFeature) | frozenset(RingFeature)


@dataclass(frozen=True)
class BlkSizes:
    """Sizes of the block functions of a card; see ``VirtioBlk``, which refuses what cannot be."""

    functions: int = 2
    queues: int = 4
    queue_size: int = 256
    tags: int = 64


def blk_device(queues: int, queue_size: int = 256) -> DeviceKind:
    """A block device with ``queues`` request queues.

    Parameters
    ----------
    queues
        1 to 12.
    queue_size
        Largest size of its queues.
    """
    return DeviceKind(
        device=2,
        class_code=0x010000,
        queues=queues,
        queue_size=queue_size,
        pulled=lambda index: False,
        features=_FEATURES,
        config=(
            *(0, 0),  # capacity
            _MAX_SEGMENT_BYTES,
            MAX_SEGMENTS,
            0,  # geometry, not offered
            512,  # blk_size
            1 << 16,  # physical_block_exp, alignment_offset; min_io_size
            0,  # opt_io_size
            queues << 16,  # writeback, not offered; num_queues
            MAX_RANGE_SECTORS,
            1,  # max_discard_seg
            1,  # discard_sector_alignment
            MAX_RANGE_SECTORS,
            1,  # max_write_zeroes_seg
            0,  # write_zeroes_may_unmap
        ),
    )


class BlkWord:
    """Numbers of the words that control writes; all others do nothing."""

    #: Of the structure (5.2.4): those that are not decided before synthesis.
    CAPACITY, CAPACITY_HIGH, BLK_SIZE, TOPOLOGY, OPT_IO_SIZE, DISCARD_ALIGNMENT = 0, 1, 5, 6, 7, 11
    #: The identity: five words, first byte lowest.
    IDENTITY = 16
    #: Which volume it is, in bits 3:0, and in bit 4 that it is read-only.
    ATTACHMENT = 24
    READ_ONLY = 1 << 4


_OF_STRUCTURE = (
    BlkWord.CAPACITY,
    BlkWord.CAPACITY_HIGH,
    BlkWord.BLK_SIZE,
    BlkWord.TOPOLOGY,
    BlkWord.OPT_IO_SIZE,
    BlkWord.DISCARD_ALIGNMENT,
)


class _Value(csr.Register, access="w"):
    """Writes the word.

    Words 0 and 1 are the capacity in sectors, 5 is blk_size; 6 and 7 are the topology, 11 is
    discard_sector_alignment: their driver gets a configuration interrupt. Words 16 to 20 are the
    identity that VIRTIO_BLK_T_GET_ID returns, first byte lowest. Word 24 has the volume in bits
    3:0; bit 4 offers VIRTIO_BLK_F_RO, and must not change once the function is released.
    """

    value: csr.Field(csr.action.W, 32, doc="Content of the word.")


class BlkConfig(wiring.Component):
    """Registers by which control gives a disk to a function.

    Before control writes them a function has volume 0, no capacity, an empty identity, and is
    read-only.

    Parameters
    ----------
    functions
        How many there are.

    Members
    -------
    config : Out(DeviceConfig)
        To the transport, who keeps the structures.
    csr : In(csr.Signature(addr_width=1))
        Registers ``select`` and ``value``.
    function : In(3), volume : Out(4)
        That of a function.
    number : In(5), byte : Out(8)
        Byte ``number`` of its identity, one cycle later.
    """

    def __init__(self, functions: int):
        self.functions = functions
        self._words = WordWriter(_Value(), word_bits=5)
        super().__init__(
            {
                "config": Out(DeviceConfig),
                "csr": In(csr.Signature(addr_width=1)),
                "function": In(3),
                "volume": Out(4),
                "number": In(5),
                "byte": Out(8),
            }
        )
        self.csr.memory_map = self._words.csr.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.words = words = self._words
        connect(m, flipped(self.csr), words.csr)
        config = self.config

        m.submodules.identities = identities = Ram(shape=32, depth=8 * MAX_FUNCTIONS, init=[])
        write, read = identities.write_port(), identities.read_port()
        m.d.comb += [
            write.addr.eq(Cat(words.word[:3], words.function)),
            write.data.eq(words.data),
            read.addr.eq(Cat(self.number[2:], self.function)),
            self.byte.eq(read.data.word_select(self.number[:2], 8)),
        ]
        volumes = Array(Signal(4, name=f"volume_{n}") for n in range(self.functions))
        m.d.comb += self.volume.eq(volumes[self.function])

        attaches = words.word == BlkWord.ATTACHMENT
        identity = words.word[3:] == BlkWord.IDENTITY >> 3
        structure = Cat(words.word == number for number in _OF_STRUCTURE).any()
        m.d.comb += [
            config.valid.eq(words.valid & (structure | attaches)),
            config.function.eq(words.function),
            config.word.eq(words.word),
            config.mask.eq(0b11),
            config.data.eq(words.data),
            config.offer.eq(attaches),
            write.en.eq(words.valid & identity),
            words.ready.eq(config.ready | ~config.valid),
        ]
        with m.If(attaches):
            read_only = words.data & BlkWord.READ_ONLY != 0
            m.d.comb += [
                config.data.eq(mask(_FEATURES) & 0xFFFF_FFFF),
                config.data[BlkFeature.RO].eq(read_only),
            ]
            with m.If(words.valid):
                m.d.sync += volumes[words.function].eq(words.data)
        return m
