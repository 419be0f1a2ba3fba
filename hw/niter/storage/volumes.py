"""The volume check: every block command goes to its volume, and nowhere else."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import (
    BlockCompletion,
    BlockOpcode,
    BlockPort,
    BlockRequest,
    BlockStatus,
)
from niter.ram import Ram
from niter.stream import Arbiter

__all__ = [
    "MAX_VOLUMES",
    "KeyWrite",
    "VolumeEvent",
    "VolumeKey",
    "VolumeMode",
    "VolumeRecord",
    "Volumes",
    "pass_data",
]

#: As many as a block request can name.
MAX_VOLUMES = 16


class VolumeMode(enum.Enum, shape=2):
    """What happens to a volume's data on a card that encrypts."""

    #: Requests end with INTERNAL: the state of a volume of which nobody has said anything.
    CLOSED = 0
    #: Data passes as it is.
    PLAIN = 1
    #: Data is encrypted on its way out and decrypted on its way in.
    ENCRYPTED = 2


class VolumeKey(data.Struct):
    """How a volume's data is treated, and the slot of its keys in the key store."""

    mode: VolumeMode
    slot: 4


#: A volume's key as it is written, from the volume table to the stage that encrypts.
KeyWrite = wiring.Signature({"en": Out(1), "volume": Out(4), "key": Out(VolumeKey)})


class VolumeEvent(data.Struct):
    """A request of a volume has passed, or was refused."""

    refused: 1
    volume: 4


class VolumeRecord:
    """Where the words of a volume's record stand in the volume table.

    Sectors are those of the block contract, 512 bytes. A record is taken out of use, with
    a zero in ``FLAGS``, before its other words are changed.
    """

    #: Words from one volume's record to the next.
    STRIDE = 8
    #: First sector of the volume at its target: bits 31:0, then bits 55:32.
    FIRST = 0
    #: Sectors that the volume has, likewise.
    LENGTH = 2
    #: The flags below.
    FLAGS = 4
    ATTACHED = 1 << 0
    READ_ONLY = 1 << 1
    #: Where a ``VolumeKey`` begins: the mode in bits 3:2, the slot in bits 7:4.
    KEY = 2
    #: Words that are looked at.
    WORDS = 5


def pass_data(m: Module, front: wiring.PureInterface, back: wiring.PureInterface) -> None:
    """Join the data of a stage's two block ports, for one that only looks at requests.

    Parameters
    ----------
    front, back
        The stage's own ports towards the front end and towards the transport.
    """
    for name in ("pull", "pull_data", "push", "push_data"):
        connect(m, flipped(getattr(back, name)), flipped(getattr(front, name)))


class Volumes(wiring.Component):
    """Checks each request against its volume and moves it to where the volume lies.

    ::

        request ── record ── in range, writable? ──┬── request, at the target's sector
                                                   └── completion with an error

    A request of a volume that is not attached ends in ``NO_VOLUME``, one that does not lie
    in it whole in ``OUT_OF_RANGE``, and WRITE, WRITE_ZEROES and DISCARD of a read-only one in
    ``READ_ONLY``; none of them goes any further. FLUSH has no place. Everything else passes
    with ``first`` of its volume added to ``lba``. All else of the contract passes as it is;
    an abort waits until the requests accepted before it have been decided.

    The record is read a word a cycle: a request takes 7 cycles, and the next one begins
    when it has left and ``counted`` was taken.

    Parameters
    ----------
    volumes
        1 to 16.

    Members
    -------
    i : In(BlockPort)
        The front end.
    o : Out(BlockPort)
        The next stage, or the transport; its ``lba`` counts from the target's first sector.
    key : Out(KeyWrite)
        What the table says of a volume's keys, when it is written.
    counted : Out(stream.Signature(VolumeEvent))
        Each request, to be counted.
    csr : In(csr.Signature)
        ``table``, the records.
    """

    def __init__(self, volumes: int = 16):
        if not 1 <= volumes <= MAX_VOLUMES:
            raise ValueError(f"There are 1 to 16 volumes, not {volumes!r}")
        self.volumes = volumes
        words = VolumeRecord.STRIDE << ceil_log2(volumes)
        self._table = csr.MemoryMap(addr_width=ceil_log2(words))
        self._table.add_resource(
            csr.WordArray(words, "Volume table: a record of words for each volume."),
            name="words",
            size=words,
        )
        self._bus = csr.Signature(addr_width=self._table.addr_width).create()
        self._bus.memory_map = self._table
        # Behind a decoder, as other stages' tables are.
        decoder = csr.decoder_of({"table": self._bus})
        self._decoder = decoder
        super().__init__(
            {
                "i": In(BlockPort),
                "o": Out(BlockPort),
                "key": Out(KeyWrite),
                "counted": Out(stream.Signature(VolumeEvent)),
                "csr": In(csr.Signature(addr_width=decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)
        m.submodules.table = table = Ram(
            shape=csr.DATA_WIDTH, depth=1 << self._table.addr_width, init=[]
        )
        read, write = table.read_port(), table.write_port()
        bits = ceil_log2(VolumeRecord.STRIDE)
        word, volume = self._bus.addr[:bits], self._bus.addr[bits:]
        m.d.comb += [
            write.addr.eq(self._bus.addr),
            write.data.eq(self._bus.w_data),
            write.en.eq(self._bus.w_stb),
            self.key.en.eq(self._bus.w_stb & (word == VolumeRecord.FLAGS)),
            self.key.volume.eq(volume),
            self.key.key.eq(self._bus.w_data[VolumeRecord.KEY :]),
        ]

        request = Signal(BlockRequest)
        status = Signal(BlockStatus)
        attached, read_only = read.data[0], read.data[1]
        # The word that is read; the one before it is there.
        asked = Signal(range(VolumeRecord.WORDS + 1))
        chosen = Signal(4)
        place = Signal()
        changes = Signal()
        m.d.comb += [
            read.addr.eq(Cat(asked, chosen)),
            chosen.eq(request.volume),
            place.eq(request.opcode != BlockOpcode.FLUSH),
            changes.eq(
                (request.opcode == BlockOpcode.WRITE)
                | (request.opcode == BlockOpcode.WRITE_ZEROES)
                | (request.opcode == BlockOpcode.DISCARD)
            ),
            self.o.request.payload.eq(request),
        ]
        # One adder for halves of numbers, and in each cycle a word of the record: to where the
        # volume begins the request's first sector is added, and then taken from the volume's
        # length. While the flags are there its sectors are taken from what is left.
        placed, left = Signal(64), Signal(32)
        carry, beyond, far = Signal(), Signal(), Signal()
        half = Mux(asked[0], request.lba[:32], request.lba[32:])
        taken, last = asked > VolumeRecord.LENGTH, asked == VolumeRecord.FLAGS + 1
        number, addend, total = Signal(32), Signal(32), Signal(34)
        m.d.comb += [
            # Of a second word 24 bits count.
            number.eq(Mux(last, left, Cat(read.data[:24], read.data[24:] & asked[0].replicate(8)))),
            addend.eq(Mux(last, ~Cat(request.sectors, C(0, 16)), half ^ taken.replicate(32))),
            total.eq(Cat(1, number) + Cat(Mux(asked[0], taken, carry), addend)),
            self.o.request.payload.lba.eq(placed),
        ]
        enough = total[33]
        m.d.sync += carry.eq(total[33])

        m.submodules.completions = completions = Arbiter(BlockCompletion, 2, packet=False)
        refusal, answered = completions.i
        connect(m, flipped(self.o.completion), answered)
        connect(m, completions.o, flipped(self.i.completion))
        m.d.comb += [refusal.payload.tag.eq(request.tag), refusal.payload.status.eq(status)]

        event = self.counted
        m.d.comb += [
            event.payload.refused.eq(status != BlockStatus.OK),
            event.payload.volume.eq(request.volume),
        ]

        with m.FSM() as fsm:
            with m.State("TAKE"):
                # An abort on offer stays so until it is taken.
                m.d.comb += self.i.request.ready.eq(~self.i.abort.valid)
                m.d.comb += chosen.eq(self.i.request.payload.volume)
                m.d.sync += request.eq(self.i.request.payload)
                with m.If(self.i.request.valid & self.i.request.ready):
                    m.d.sync += asked.eq(1)
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += asked.eq(asked + 1)
                for at, part in enumerate((placed[:32], placed[32:]), VolumeRecord.FIRST + 1):
                    with m.If(asked == at):
                        m.d.sync += part.eq(total[1:])
                with m.If(asked == VolumeRecord.LENGTH + 1):
                    m.d.sync += left.eq(total[1:])
                with m.If(asked == VolumeRecord.LENGTH + 2):
                    m.d.sync += [beyond.eq(~enough), far.eq(total[1:25].any())]
                # The flags are the last word.
                m.d.sync += status.eq(BlockStatus.OK)
                with m.If(place & (beyond | (~far & ~enough))):
                    m.d.sync += status.eq(BlockStatus.OUT_OF_RANGE)
                with m.If(changes & read_only):
                    m.d.sync += status.eq(BlockStatus.READ_ONLY)
                with m.If(~attached | (request.volume >= self.volumes)):
                    m.d.sync += status.eq(BlockStatus.NO_VOLUME)
                with m.If(asked == VolumeRecord.FLAGS + 1):
                    m.next = "GO"
            with m.State("GO"):
                m.d.sync += asked.eq(0)
                m.d.comb += [
                    self.o.request.valid.eq(status == BlockStatus.OK),
                    refusal.valid.eq(status != BlockStatus.OK),
                ]
                passed = self.o.request.valid & self.o.request.ready
                with m.If(passed | (refusal.valid & refusal.ready)):
                    m.next = "COUNT"
            with m.State("COUNT"):
                # A volume that is not there has no counters.
                m.d.comb += event.valid.eq(request.volume < self.volumes)
                with m.If(event.ready | ~event.valid):
                    m.next = "TAKE"

        pass_data(m, self.i, self.o)
        # An abort does not overtake the request that it is about.
        between = fsm.ongoing("TAKE")
        m.d.comb += [
            self.o.abort.payload.eq(self.i.abort.payload),
            self.o.abort.valid.eq(self.i.abort.valid & between),
            self.i.abort.ready.eq(self.o.abort.ready & between),
        ]
        connect(m, flipped(self.o.aborted), flipped(self.i.aborted))
        return m
