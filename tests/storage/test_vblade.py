"""The gateware against vblade, which is not ours: its frames go to a raw socket, and back."""

import random
import select

import pytest

from niter.interface import SECTOR_BYTES, BlockOpcode, BlockStatus
from sim.models.aoe import config_query, identify, reserve
from sim.storage.aoe.station import OURS, Request, Station
from tests.storage.vblade import US, blade

SIZE = 512
REQUESTS = 400
#: Wall time without a frame after which something is wrong.
PATIENCE_S = 20


class Bridge:
    """A station whose wire is a vblade's.

    Simulated time waits for vblade while nothing else is to be done: its answers come some thousand
    cycles after their questions, whatever the machine is busy with.
    """

    def __init__(self, running):
        self.wire = running.wire
        self.wire.setblocking(False)
        self.station = Station(self.wire.send, seed=3)
        # The lifetime is beyond what a frame can take here, and so is the silence.
        self.station.set_up(floor=200, silence=2_000_000, lifetime=4000)
        self.station.attach(0, 0, running)

    def turn(self):
        """Run, and take what has come; returns whether anything has."""
        self.station.run(200)
        heard = False
        while select.select([self.wire], [], [], 0 if heard else 0.0005)[0]:
            self.station.receive(self.wire.recv(9100))
            heard = True
        return heard

    def until(self, done):
        """Run until something is so."""
        silent = 0
        while not done():
            silent = 0 if self.turn() else silent + 1
            assert silent < PATIENCE_S / 0.0005, "vblade says nothing"

    def do(self, *request, **fields):
        """Carry a request out; returns it."""
        asked = Request(*request, **fields)
        self.station.issue(asked)
        self.until(lambda: asked.status is not None)
        return asked

    def ask(self, command, argument):
        """Control's question to the target; returns the answer."""
        self.station.ask(0, command, argument)
        self.until(lambda: self.station.answer() is not None)
        return self.station.answer()


@pytest.fixture
def bridge(tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(random.Random(1).randbytes(SIZE * SECTOR_BYTES))
    with blade(disk) as running:
        made = Bridge(running)
        made.disk = disk
        yield made
        made.station.close()


def test_random_requests(bridge):
    rng = random.Random(4)
    expected = bytearray(bridge.disk.read_bytes())
    busy, issued = [], 0
    while issued < REQUESTS or busy:
        sectors = rng.randint(1, 16)
        lba = rng.randrange(SIZE - sectors)
        at = slice(lba * SECTOR_BYTES, (lba + sectors) * SECTOR_BYTES)
        free = all(each.lba >= lba + sectors or lba >= each.lba + each.sectors for each in busy)
        if issued < REQUESTS and free and len(busy) < 16:
            write = rng.random() < 0.5
            request = Request(
                BlockOpcode.WRITE if write else BlockOpcode.READ, lba=lba, sectors=sectors
            )
            if write:
                request.memory[:] = expected[at] = rng.randbytes(sectors * SECTOR_BYTES)
            request.expected = bytes(expected[at])
            bridge.station.issue(request)
            busy.append(request)
            issued += 1
        bridge.turn()
        for request in [each for each in busy if each.status is not None]:
            busy.remove(request)
            assert request.status == BlockStatus.OK
            assert request.memory == request.expected
    assert bridge.disk.read_bytes() == expected
    assert bridge.do(BlockOpcode.FLUSH).status == BlockStatus.OK
    counted = bridge.station.counters()
    assert counted["answered"] >= REQUESTS and not counted["errors"] + counted["silent"]


def test_what_lies_beyond_the_disk_is_an_error(bridge):
    beyond = bridge.do(BlockOpcode.READ, lba=SIZE, sectors=1)
    assert beyond.status == BlockStatus.MEDIUM


def test_control_finds_it_and_fences_others_off(bridge):
    found = bridge.ask(1, config_query())
    assert int.from_bytes(found[24:26], "big") == 16 and found[28] >= 2
    identity = bridge.ask(0, identify())[36:]
    assert int.from_bytes(identity[200:208], "little") == SIZE
    bridge.ask(3, reserve("02:00:00:00:00:99"))
    assert bridge.do(BlockOpcode.READ, lba=0, sectors=1).status == BlockStatus.RESERVED
    assert bridge.ask(3, reserve(OURS))[14] & 0x4
    bridge.ask(3, reserve(OURS, force=True))
    assert bridge.do(BlockOpcode.READ, lba=0, sectors=1).status == BlockStatus.OK
    assert OURS == US
