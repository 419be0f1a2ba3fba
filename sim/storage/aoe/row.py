"""Volumes, encryption and initiator in a row, at a target that is to learn nothing.

``python -m sim.storage.aoe.row`` writes and reads an encrypted and a plain volume, and compares the
target's disk with what an independent library makes of the data.
"""

import sys
from random import Random

import click
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from niter import csr
from niter.interface import SECTOR_BYTES, BlockOpcode, BlockPort, BlockStatus, FrameStream
from niter.security.key_store import KeyWord
from niter.storage import VolumeMode, VolumeRecord, Volumes
from niter.storage.aoe import Aoe
from niter.storage.encryption import Encryption
from sim.direct import Stream
from sim.models.aoe import AoeTarget
from sim.storage.aoe.station import Request, Station

__all__ = ["Row", "run"]

_FIRST, _LENGTH = (64, 320), 128
_ENCRYPTED, _PLAIN = 0, 1
_SLOT = 5


class Row(wiring.Component):
    """What a storage card has between its front end and the wire, but for the rates."""

    def __init__(self):
        self._volumes, self._encryption, self._aoe = Volumes(), Encryption(), Aoe(ports=2)
        self._decoder = csr.decoder_of({"volumes": self._volumes.csr, "aoe": self._aoe.csr})
        super().__init__(
            {
                "i": In(BlockPort),
                "i_wire": In(FrameStream),
                "o_wire": Out(FrameStream),
                "keys": In(stream.Signature(KeyWord)),
                "usable": In(16),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.volumes = volumes = self._volumes
        m.submodules.encryption = encryption = self._encryption
        m.submodules.aoe = aoe = self._aoe
        connect(m, flipped(self.csr), self._decoder.bus)
        connect(m, flipped(self.i), volumes.i)
        connect(m, volumes.o, encryption.i)
        connect(m, volumes.key, encryption.key)
        connect(m, volumes.counted, aoe.counted)
        connect(m, flipped(self.keys), encryption.keys)
        m.d.comb += encryption.usable.eq(self.usable)
        connect(m, encryption.o, aoe.i)
        connect(m, flipped(self.i_wire), aoe.i_wire)
        connect(m, aoe.o_wire, flipped(self.o_wire))
        return m


def _sealed(key: bytes, sector: int, data: bytes) -> bytes:
    return (
        Cipher(algorithms.AES(key), modes.XTS(sector.to_bytes(16, "little")))
        .encryptor()
        .update(data)
    )


def run(requests: int, seed: int) -> str:
    """Random requests to both volumes, one after the other; returns what was done."""
    rng = Random(seed)
    target = AoeTarget(7, 3, "02:00:00:00:00:07", bytearray(512 * SECTOR_BYTES), sectors=4)

    def wire(frame):
        answer = target.answer(frame)
        if answer is not None:
            station.receive(answer)

    station = Station(wire, seed=seed, make=Row, path="aoe.")
    station.set_up(silence=10_000)
    key = rng.randbytes(64)
    keys = Stream(station.model, "keys", KeyWord)
    for index in range(16):
        word = int.from_bytes(key[4 * index : 4 * index + 4], "little")
        keys.put({"slot": _SLOT, "index": index, "erase": 0, "data": word})
    station.model.run(2000)
    station.model.poke("usable", 1 << _SLOT)
    expected = {}
    for volume, mode in ((_ENCRYPTED, VolumeMode.ENCRYPTED), (_PLAIN, VolumeMode.PLAIN)):
        station.attach(volume, 0, target)
        flags = VolumeRecord.ATTACHED | (mode.value | _SLOT << 2) << VolumeRecord.KEY
        words = [_FIRST[volume], 0, _LENGTH, 0, flags]
        station.write_words("volumes.table.words", volume * VolumeRecord.STRIDE, words)
        expected[volume] = bytearray(_LENGTH * SECTOR_BYTES)
    # Until they are written, the sectors of one are what zeros decrypt to.
    todo = [(_ENCRYPTED, BlockOpcode.WRITE, at, 16) for at in range(0, _LENGTH, 16)]
    for _ in range(requests):
        sectors = rng.randint(1, 16)
        opcode = rng.choice((BlockOpcode.READ, BlockOpcode.WRITE))
        todo.append(
            (rng.choice((_ENCRYPTED, _PLAIN)), opcode, rng.randrange(_LENGTH - sectors), sectors)
        )
    for volume, opcode, lba, sectors in todo:
        at = slice(lba * SECTOR_BYTES, (lba + sectors) * SECTOR_BYTES)
        request = Request(opcode, lba=lba, sectors=sectors, volume=volume)
        if opcode == BlockOpcode.WRITE:
            request.memory[:] = expected[volume][at] = rng.randbytes(sectors * SECTOR_BYTES)
        station.issue(request)
        while request.status is None:
            station.run(500)
        assert request.status == BlockStatus.OK, (volume, opcode, request.status)
        assert request.memory == expected[volume][at]
    for volume, data in expected.items():
        for sector in range(_LENGTH):
            plain = bytes(data[sector * SECTOR_BYTES :][:SECTOR_BYTES])
            place = _FIRST[volume] + sector
            stored = target.disk[place * SECTOR_BYTES :][:SECTOR_BYTES]
            assert stored == (_sealed(key, place, plain) if volume == _ENCRYPTED else plain)
    beyond = Request(BlockOpcode.READ, lba=_LENGTH, sectors=1, volume=_ENCRYPTED)
    station.model.poke("usable", 0)
    locked = Request(BlockOpcode.READ, lba=0, sectors=1, volume=_ENCRYPTED)
    for request in (beyond, locked):
        station.issue(request)
        while request.status is None:
            station.run(500)
    assert beyond.status == BlockStatus.OUT_OF_RANGE and locked.status == BlockStatus.INTERNAL
    cycles = station.now
    station.close()
    return f"{len(todo)} requests, {cycles} cycles; the disk holds what it has to, and no more"


@click.command()
@click.option("--requests", default=500, show_default=True)
@click.option("--seed", envvar="NITER_SEED", default=1, show_default=True)
def main(requests: int, seed: int) -> None:
    """Run random requests through the row."""
    print(run(requests, seed))


if __name__ == "__main__":
    sys.exit(main())
