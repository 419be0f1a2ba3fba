"""Measurement registers: they can be extended and read, and nothing else."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter import csr
from niter.ram import Ram

from .hash_job import HashJob
from .hashing import HashPort

__all__ = ["MEASUREMENTS", "MEASUREMENT_WORDS", "Measurements"]

#: How many there are.
MEASUREMENTS = 32

#: 32-bit words of each: a SHA-384 digest.
MEASUREMENT_WORDS = 12

#: A register takes this many words in the memory; the rest of the first three holds the input.
_STRIDE = 16


class _Input(csr.Register, access="w"):
    """Four bytes of the digest that a register will be extended by, the first in bits 7:0.

    Twelve words in order. More are ignored, and make ``extend`` refuse.
    """

    data: csr.Field(csr.action.W, 32)


class _Extend(csr.Register, access="w"):
    """Extends a register by the twelve words in ``input``, and empties that."""

    index: csr.Field(csr.action.W, 5, doc="Which register.")


class _Status(csr.Register, access="r"):
    """What goes on."""

    busy: csr.Field(csr.action.R, 1, doc="Registers read as zero, and commands are refused.")
    refused: csr.Field(
        csr.action.R,
        1,
        doc="The last ``extend`` did nothing: busy, the hash engine in use, or not twelve words.",
    )


class Measurements(wiring.Component):
    """32 registers of 48 bytes, after the pattern of a TPM's PCRs.

    Extending register ``n`` replaces it by SHA-384 of its 48 bytes followed by 48 bytes from
    software; it takes about 350 cycles if the hash engine is free. All registers are
    zero after a reset, which wipes them in 512 cycles: it is meant to be the reset of the CPU and
    of the key store, so that nothing runs on that was not measured. There is no other way to
    write them.

    Words 0 to 511 of the bus are the registers, 16 words apart, the first byte of a register in
    bits 7:0 of its first word. They read as zero while ``busy``.

    Members
    -------
    hash : Out(HashPort)
        The hash engine.
    bus : In(csr.Signature)
        Registers and commands.
    """

    def __init__(self):
        commands = csr.Builder(addr_width=2)
        self._input = commands.add("input", _Input())
        self._extend = commands.add("extend", _Extend())
        self._status = commands.add("status", _Status())
        self._bridge = csr.Bridge(commands.as_memory_map())
        self._values = csr.Signature(addr_width=9).create()
        self._values.memory_map = csr.MemoryMap(addr_width=9)
        self._values.memory_map.add_resource(
            csr.WordArray(
                MEASUREMENTS * _STRIDE,
                "The measurement registers: 12 words each, 16 words apart.",
                access="r",
            ),
            name="values",
            size=MEASUREMENTS * _STRIDE,
        )
        self._decoder = csr.Decoder(addr_width=10)
        self._decoder.add(self._values, name="registers", addr=0)
        self._decoder.add(self._bridge.bus, name="commands", addr=MEASUREMENTS * _STRIDE)
        self._storage = Ram(shape=32, depth=MEASUREMENTS * _STRIDE, init=[])
        # The only port that writes the registers, and the state that proofs are about.
        self._write = self._storage.write_port()
        self._wiping = Signal(init=1)
        self._register = Signal(5)
        super().__init__({"hash": Out(HashPort), "bus": In(csr.Signature(addr_width=10))})
        self.bus.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.bridge = self._bridge
        m.submodules.storage = self._storage
        m.submodules.job = job = HashJob(MEASUREMENT_WORDS, long=False)
        wiring.connect(m, wiring.flipped(self.bus), self._decoder.bus)
        wiring.connect(m, job.hash, wiring.flipped(self.hash))
        read, write = self._storage.read_port(), self._write
        wiping, register = self._wiping, self._register

        wiped = Signal(9)
        busy = Signal()
        given = Signal(4)
        refused = Signal()
        m.d.comb += busy.eq(wiping | job.busy)
        with m.If(wiping):
            m.d.sync += [wiped.eq(wiped + 1), wiping.eq(~wiped.all())]

        # Word n of the input stands behind register n // 4.
        put = self._input.f.data.w_stb & ~busy
        full = given == MEASUREMENT_WORDS
        extend = self._extend.f.index.w_stb
        accepted = extend & ~busy & full & self.hash.free
        with m.If(put):
            m.d.sync += given.eq(Mux(given > MEASUREMENT_WORDS, given, given + 1))
        with m.If(extend):
            m.d.sync += refused.eq(~accepted)
            with m.If(~busy):
                m.d.sync += [given.eq(0), register.eq(self._extend.f.index.w_data)]
        m.d.comb += [
            job.start.eq(accepted),
            job.data.eq(read.data),
            read.addr.eq(
                Mux(
                    job.busy,
                    Mux(job.section, _input_address(job.index), Cat(job.index, register)),
                    self._values.addr,
                )
            ),
        ]
        with m.If(wiping):
            m.d.comb += [write.en.eq(1), write.addr.eq(wiped)]
        with m.Elif(job.busy):
            m.d.comb += [
                write.en.eq(job.store),
                write.addr.eq(Cat(job.index, register)),
                write.data.eq(job.stored),
            ]
        with m.Else():
            m.d.comb += [
                write.en.eq(put & (given < MEASUREMENT_WORDS)),
                write.addr.eq(_input_address(given)),
                write.data.eq(self._input.f.data.w_data),
            ]

        shown = Signal()
        m.d.sync += shown.eq(self._values.r_stb & ~busy & ~self._values.addr[2:4].all())
        m.d.comb += [
            self._values.r_data.eq(read.data & shown.replicate(32)),
            self._status.f.busy.r_data.eq(busy),
            self._status.f.refused.r_data.eq(refused),
        ]
        return m


def _input_address(index) -> Cat:
    return Cat(index[:2], C(0b11, 2), index[2:4], C(0, 3))
