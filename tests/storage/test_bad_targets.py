"""Targets that lie, die, or can be reached by two ways, in the verilated model."""

import random
from collections.abc import Callable

import pytest

from niter.interface import SECTOR_BYTES, BlockOpcode, BlockStatus
from niter.storage.aoe import TargetRecord
from sim.models.aoe import AoeTarget, reserve
from sim.storage.aoe.station import OURS, Request, Station

READ, WRITE = BlockOpcode.READ, BlockOpcode.WRITE
SIZE = 256
#: The card's addresses, by port: its second one is what another initiator has.
SECOND = "02:00:00:00:0b:0e"
#: Silence and lifetime, in ticks of 256 cycles.
SILENCE, LIFETIME = 60, 25


class Scene:
    """A station and a target, with what happens to frames in between."""

    def __init__(self):
        disk = bytearray(random.Random(5).randbytes(SIZE * SECTOR_BYTES))
        self.target = AoeTarget(7, 3, "02:00:00:00:00:07", disk)
        #: Changes or swallows questions and answers.
        self.question: Callable[[bytes], bytes | None] = lambda frame: frame
        self.tamper: Callable[[bytes], bytes | None] = lambda frame: frame
        self.frames: list[bytes] = []
        self.station = Station(self.send, seed=9)
        self.station.set_up(silence=SILENCE, lifetime=LIFETIME)
        self.station.attach(0, 0, self.target)

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)
        frame = self.question(frame)
        answer = frame and self.target.answer(frame)
        answer = answer and self.tamper(answer)
        if answer:
            self.station.receive(answer)

    def run(self, cycles: int) -> None:
        end = self.station.now + cycles
        while self.station.now < end:
            self.station.run(end - self.station.now)

    def end(self, request: Request, limit: int = 200_000) -> BlockStatus:
        begin = self.station.now
        while request.status is None:
            self.station.run(500)
            assert self.station.now - begin < limit
        return request.status

    def do(self, *request, **fields) -> Request:
        asked = Request(*request, **fields)
        self.station.issue(asked)
        self.end(asked)
        return asked

    def on_disk(self, lba: int, sectors: int) -> bytes:
        return bytes(self.target.disk[lba * SECTOR_BYTES : (lba + sectors) * SECTOR_BYTES])


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.station.close()


LIES = {
    "silence": lambda frame: None,
    "one sector too few": lambda frame: frame[:-SECTOR_BYTES],
    "one sector too many": lambda frame: frame + bytes(SECTOR_BYTES),
    "half a sector": lambda frame: frame[: -SECTOR_BYTES // 2],
    "no data": lambda frame: frame[:36],
    "another generation": lambda frame: frame[:20] + bytes([frame[20] ^ 0x80]) + frame[21:],
    "the generation before": lambda frame: frame[:22] + bytes([frame[22] ^ 0x01]) + frame[23:],
    "another slot": lambda frame: frame[:23] + bytes([frame[23] ^ 0x01]) + frame[24:],
    "no slot at all": lambda frame: frame[:23] + bytes([frame[23] ^ 0x40]) + frame[24:],
    "a request": lambda frame: frame[:14] + b"\x10" + frame[15:],
    "version 2": lambda frame: frame[:14] + b"\x28" + frame[15:],
    "another command": lambda frame: frame[:19] + b"\x02" + frame[20:],
    "no header": lambda frame: frame[:20],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_what_does_not_answer_the_question_is_silence(scene, lie):
    scene.tamper = lie
    begin = scene.station.now
    refused = scene.do(READ, lba=8, sectors=2)
    assert refused.status == BlockStatus.PATH and not refused.pushed
    # Within the time that control has set, and what the last doubled time-out adds.
    assert scene.station.now - begin < 3 * 256 * SILENCE
    scene.tamper = lambda frame: frame
    again = scene.do(READ, lba=8, sectors=2)
    assert again.status == BlockStatus.OK and again.memory == scene.on_disk(8, 2)


@pytest.mark.parametrize(
    ("at", "bits", "status"),
    [
        *((27, bit, BlockStatus.MEDIUM) for bit in (0x01, 0x08, 0x20, 0x80)),
        *((27, bit, BlockStatus.OK) for bit in (0x02, 0x04, 0x10, 0x40)),
        *((15, code, BlockStatus.INTERNAL) for code in (2, 4, 7)),
        *((15, code, BlockStatus.UNSUPPORTED) for code in (1, 5)),
        (15, 3, BlockStatus.PATH),
        (15, 6, BlockStatus.RESERVED),
    ],
)
@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_errors_of_the_target(scene, opcode, at, bits, status):
    def err(frame):
        frame = bytearray(frame)
        frame[at] = bits
        if at == 15:
            frame[14] |= 0x4
        return bytes(frame)

    scene.tamper = err
    assert scene.do(opcode, lba=8, sectors=2).status == status


def test_an_old_answer_is_not_taken_for_the_present_one(scene):
    """A copy of the answer to a read comes when its slot has another frame."""
    old = []
    scene.tamper = lambda frame: old.append(frame) or frame
    scene.do(READ, lba=8, sectors=2)
    data = bytes(range(256)) * 4
    assert scene.do(WRITE, lba=8, sectors=2, memory=bytearray(data)).status == BlockStatus.OK

    def stale_first(frame):
        scene.station.receive(old[0])
        return frame

    scene.tamper = stale_first
    assert scene.do(READ, lba=8, sectors=2).memory == data
    scene.run(2000)
    assert scene.station.counters()["late"] >= 1


def test_a_flood_keeps_nobody_out(scene):
    stray = bytes.fromhex(OURS.replace(":", "")) + bytes(6) + b"\x88\xa2\x18" + bytes(45)
    rng = random.Random(6)
    for _ in range(1000):
        tag = rng.randbytes(4)
        scene.station.receive(stray[:20] + tag + stray[24:])
    read = scene.do(READ, lba=8, sectors=2)
    assert read.status == BlockStatus.OK and read.memory == scene.on_disk(8, 2)


def test_a_target_that_dies_and_returns(scene):
    scene.question = lambda frame: None
    dead = [Request(WRITE, lba=10 * n, sectors=4) for n in range(8)]
    begin = scene.station.now
    for request in dead:
        scene.station.issue(request)
    for request in dead:
        assert scene.end(request) == BlockStatus.PATH
    assert scene.station.now - begin < 4 * 256 * SILENCE
    scene.question = lambda frame: frame
    for n in range(8):
        assert scene.do(READ, lba=10 * n, sectors=4).status == BlockStatus.OK


class Paths:
    """A write that stays in the network on the first path, and comes out of it late."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self.kept: list[bytes] = []
        station, target = scene.station, scene.target
        # The target takes what comes by the second path, too, as a vblade on two interfaces does.
        self.first, self.second = target.mac, "02:00:00:00:00:08"
        second = int(SECOND.replace(":", ""), 16)
        station.set_source(1, second)
        scene.question = self.question

    def question(self, frame: bytes) -> bytes | None:
        if frame[6:12] == bytes.fromhex(OURS.replace(":", "")):
            if frame[19] == 0 and frame[27] == 0x34:
                self.kept.append(frame)
            return None
        return frame

    def record(self, number: int, mac: str, *, flags: int, port: int) -> None:
        self.scene.target.mac = mac
        self.scene.station.record(number, self.scene.target, flags, port)

    def fail_over(self, *, fence: bool) -> None:
        """What control does: pause, fence, and only then the other way."""
        scene, on = self.scene, TargetRecord.ENABLED
        self.record(0, self.first, flags=on | TargetRecord.PAUSED, port=0)
        sent = len(scene.frames)
        scene.run(30_000)
        assert len(scene.frames) == sent, "a paused target is sent something"
        self.record(1, self.second, flags=0, port=1)
        if fence:
            scene.station.ask(1, 3, reserve(SECOND, force=True))
            while scene.station.answer() is None:
                scene.station.run(100)
            assert scene.target.reserved == [SECOND]
        self.record(0, self.second, flags=on, port=1)

    def late(self) -> bytes | None:
        """The first copy comes out of the network."""
        self.scene.target.mac = self.first
        answer = self.scene.target.answer(self.kept[0])
        self.scene.target.mac = self.second
        return answer


@pytest.mark.parametrize("fence", [True, False])
def test_the_other_path_behind_a_fence(scene, fence):
    """With the old way fenced off a late copy on it is refused; without, it would spoil the disk:
    the case can tell."""
    paths = Paths(scene)
    scene.station.set_up(silence=100_000, lifetime=20)
    old = Request(WRITE, lba=60, sectors=2, memory=bytearray(b"o" * 1024))
    scene.station.issue(old)
    while not paths.kept:
        scene.station.run(100)
    paths.fail_over(fence=fence)
    assert scene.end(old) == BlockStatus.OK
    assert scene.on_disk(60, 2) == b"o" * 1024
    # The sectors are held, since copies of the old write were never answered: for a lifetime.
    begin = scene.station.now
    new = scene.do(WRITE, lba=60, sectors=2, memory=bytearray(b"n" * 1024))
    assert new.status == BlockStatus.OK and scene.station.now - begin > 10 * 256
    assert scene.station.counters()["waited"]
    answer = paths.late()
    assert (answer[14] & 0x4 and answer[15] == 6) == fence
    assert scene.on_disk(60, 2) == (b"n" if fence else b"o") * 1024
    read = scene.do(READ, lba=60, sectors=2)
    assert read.status == BlockStatus.OK and read.memory == scene.on_disk(60, 2)
    assert all(frame[6:12].hex(":") == SECOND for frame in scene.frames[-2:])
