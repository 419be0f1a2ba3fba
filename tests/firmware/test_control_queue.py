"""The service of control queues: what it answers, and what then stands in the receive filter."""

import hashlib
import random
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from firmware.generate import write_headers
from firmware.host.process import HostCard
from niter.card import Card, CardConfig
from niter.net import OverlayConfig
from niter.soc import SocConfig
from niter.virtio.net.filter import HASHES_FROM, Modes
from niter.virtio.net.messages import CommandKind
from niterctl.card import Card as ManagedCard

from .conftest import POLICY, open_session

FIRMWARE = Path(__file__).parents[2] / "firmware"
BUILD = FIRMWARE.parent / "build" / "firmware" / "control-queue"
CONFIG = CardConfig(overlay=OverlayConfig(functions=2), soc=SocConfig())
OK, ERR = 0, 1
ANSWER, ANNOUNCED = 1, 2
MODES = list(Modes.as_shape().members)
OWN = bytes.fromhex("020000000001")
GROUPS = [bytes.fromhex(each) for each in ("01005e000001", "333300000001", "3333ff123456")]


@pytest.fixture(scope="module")
def program():
    include = BUILD / "include"
    write_headers(include, CONFIG)
    sources = [
        Path(__file__).parent / "control_queue_host.c",
        FIRMWARE / "services" / "control_queue.c",
        FIRMWARE / "hal" / "words.c",
    ]
    flags = "-std=c11 -Wall -Wextra -Werror -Wshadow -Wconversion -O1 -g"
    flags += " -fsanitize=address,undefined -fno-sanitize-recover=all"
    text = b"".join(path.read_bytes() for path in [*sources, *sorted(include.glob("*.h"))])
    place = BUILD / hashlib.sha256(text + flags.encode()).hexdigest()[:16]
    if not place.exists():
        command = ["gcc", *flags.split(), f"-I{include}", f"-I{FIRMWARE}", *sources]
        subprocess.run([*map(str, command), "-o", str(place)], check=True)
    return place


def hash_of(mac):
    bits = int.from_bytes(mac, "little")
    found = 0
    while bits:
        found, bits = found ^ bits & 63, bits >> 6
    return found


@dataclass
class Filter:
    """The hardware's registers, of one function."""

    modes: set[str] = field(default_factory=set)
    table: set[int] = field(default_factory=set)

    @property
    def hashes(self):
        return {place - HASHES_FROM for place in self.table if place >= HASHES_FROM}

    @property
    def vlans(self):
        return {place for place in self.table if place < 4096}


class Service:
    """The firmware as a process."""

    def __init__(self, program):
        where = {".".join(i.path): 4 * i.start for i in Card(CONFIG).csr.memory_map.all_resources()}
        self.mode, self.table = where["net.filter.mode"], where["net.filter.table"]
        self.filters = [Filter(), Filter()]
        self.generation = [0, 0]
        self.restarted = self.opened = False
        self.announced = []
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def reset(self, function):
        self.generation[function] = (self.generation[function] + 1) & 0xFF
        self.filters[function].modes.clear()

    def command(self, content, function=0, kind=CommandKind.WHOLE):
        """Execute a command; returns its answer."""
        head = (self.restarted, self.opened, kind, function, self.generation[function])
        request = struct.pack("<6B6s72s", *head, len(content), OWN, content)
        self._process.stdin.write(request)
        self._process.stdin.flush()
        answers = []
        while True:
            told = self._process.stdout.read(8)
            assert len(told) == 8, "the firmware has ended"
            what, value = struct.unpack("<II", told)
            if what == self.mode:
                assert value >> 8 == function
                bits = [name for n, name in enumerate(MODES) if value >> n & 1]
                self.filters[function].modes = set(bits)
            elif what == self.table:
                self._enter(function, value)
            elif what == ANSWER:
                answers.append(value)
            elif what == ANNOUNCED:
                assert value == function
                self.announced.append(value)
            else:
                assert not what and len(answers) == 1 and answers[0] in (OK, ERR)
                return answers[0]

    def _enter(self, function, value):
        place, table = value & 0x1FFF, self.filters[function].table
        assert value >> 13 & 7 == function and value < 1 << 18
        places = set(range(place, 8192) if value >> 17 & 1 else [place])
        # While places are cleared that count, frames that are wanted would be lost.
        counts = {"vlans": range(4096), "hashes": range(HASHES_FROM, 8192)}
        if value >> 17 & 1:
            for mode, those in counts.items():
                assert mode not in self.filters[function].modes or not places & set(those)
        self.filters[function].table = table | places if value >> 16 & 1 else table - places

    def close(self):
        self._process.stdin.close()
        assert self._process.wait(10) == 0
        self._process.stdout.close()


@pytest.fixture
def service(program):
    made = Service(program)
    yield made
    made.close()


def macs(entries):
    return len(entries).to_bytes(4, "little") + b"".join(entries)


def test_receive_modes(service):
    for command, mode in enumerate(MODES[:6]):
        assert service.command(bytes([0, command, 1]), 1) == OK
        assert service.filters[1].modes == {mode}
        for wrong in (b"", b"\x02", b"\xff", b"\x00\x00"):
            assert service.command(bytes([0, command]) + wrong, 1) == ERR
        assert service.filters[1].modes == {mode}
        assert service.command(bytes([0, command, 0]), 1) == OK
        assert service.filters[1].modes == set()
    assert service.command(b"\x00\x06\x01") == ERR
    assert service.filters[0].modes == set()


def test_multicast_table(service):
    def table(unicasts, multicasts):
        return b"\x01\x00" + macs(unicasts) + macs(multicasts)

    for unicasts, multicasts in (([], GROUPS), ([OWN] * 3, GROUPS[:1]), ([OWN], []), ([], [])):
        assert service.command(table(unicasts, multicasts)) == OK
        assert service.filters[0].modes == {"hashes"}
        assert service.filters[0].hashes == {hash_of(each) for each in multicasts}
    service.command(table([], GROUPS))
    good = table([OWN], GROUPS[:2])
    wrong = [good[:length] for length in range(2, len(good))]
    wrong += [good + b"\0", table([], [])[:6] + b"\x01\0\0\0", b"\x01\x00" + b"\xff" * 40]
    wrong += [b"\x01\x00" + count.to_bytes(4, "little") + bytes(30) for count in (6, 1 << 31)]
    for each in wrong:
        assert service.command(each) == ERR
        assert service.filters[0].hashes == {hash_of(each) for each in GROUPS}
    # More than a message holds: every multicast is wanted.
    assert service.command(table([], GROUPS * 4)[:64], kind=CommandKind.CUT) == OK
    assert service.filters[0].modes == set()
    assert service.command(table([], GROUPS)) == OK
    assert service.filters[0].modes == {"hashes"}


def test_the_address_is_the_control_planes(service):
    assert service.command(b"\x01\x01" + OWN) == ERR
    service.opened = True
    assert service.command(b"\x01\x01" + OWN) == OK
    assert service.command(b"\x01\x01" + OWN[:5] + b"\x02") == ERR
    for wrong in (OWN[:5], OWN + b"\0", b""):
        assert service.command(b"\x01\x01" + wrong) == ERR
    assert service.command(b"\x01\x02" + OWN) == ERR
    assert service.command((b"\x01\x01" + OWN).ljust(64), kind=CommandKind.CUT) == ERR


def test_vlans(service):
    def vlan(command, number):
        return service.command(bytes([2, command]) + number.to_bytes(2, "little"))

    service.filters[0].table = {5, 6, HASHES_FROM}
    assert vlan(1, 5) == OK
    assert service.filters[0] == Filter(set(), set()), "what is left of an earlier driver"
    for number in (0, 1, 100, 4095):
        assert vlan(0, number) == OK
    assert service.filters[0].vlans == {0, 1, 100, 4095}
    assert service.filters[0].modes == {"vlans"}
    assert vlan(1, 100) == OK and vlan(1, 99) == OK
    assert service.filters[0].vlans == {0, 1, 4095}
    for number in (4096, 0x8001, 0xFFFF):
        assert vlan(0, number) == ERR and vlan(1, number) == ERR
    assert vlan(2, 1) == ERR
    for wrong in (b"\x02\x00", b"\x02\x00\x01", b"\x02\x00\x01\x00\x00"):
        assert service.command(wrong) == ERR
    # A table of multicasts leaves them alone.
    assert service.command(b"\x01\x00" + macs([]) + macs(GROUPS)) == OK
    assert service.filters[0].vlans == {0, 1, 4095}
    assert service.filters[0].modes == {"vlans", "hashes"}
    service.reset(0)
    assert vlan(0, 7) == OK
    assert service.filters[0] == Filter({"vlans"}, {7})


def test_announcements(service):
    assert service.command(b"\x03\x00", 1) == OK
    assert service.announced == [1]
    for wrong in (b"\x03\x01", b"\x03\x00\x00"):
        assert service.command(wrong) == ERR
    assert service.announced == [1]


def test_after_a_restart_everything_passes_until_the_next_reset(service):
    service.restarted = True
    service.generation[1] = 3
    service.filters[1].modes = {"hashes", "no_broadcast"}
    for content in (b"\x00\x05\x01", b"\x02\x00\x05\x00", b"\x01\x00" + macs([]) + macs([])):
        assert service.command(content, 1) == OK
        assert service.filters[1].modes == set()
    service.reset(1)
    assert service.command(b"\x00\x05\x01", 1) == OK
    assert service.filters[1].modes == {"no_broadcast"}


def test_a_port_that_opens_is_to_be_announced(tmp_path):
    with HostCard(tmp_path, POLICY, config=CONFIG) as running, open_session(running) as session:
        card = ManagedCard(session)
        card.add_port(1, OWN.hex(":"), 100)
        # Fifth and sixth byte of the address; LINK_UP and ANNOUNCE.
        assert running.words("net.config.value") == [0x0003_0100]
        card.remove_port(1)
        assert running.words("net.config.value") == [0x0000_0100]


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes(service, seed):
    """Every class and command at every length, and bytes at random: answered, and no more."""
    draw = random.Random(seed)
    known = {(0, n) for n in range(6)} | {(1, 0), (1, 1), (2, 0), (2, 1), (3, 0)}
    for kind in (0, 1, 2, 3, 4, 5, 255):
        for command in (0, 1, 2, 3, 4, 5, 6, 255):
            for length in range(63):
                content = bytes([kind, command]) + draw.randbytes(length)
                answer = service.command(content, draw.randrange(2))
                assert answer == ERR or (kind, command) in known
    for _ in range(3000):
        content = bytearray(draw.randbytes(draw.randint(2, 64)))
        content[:2] = bytes([draw.randrange(5), draw.randrange(7)])
        if len(content) > 6 and draw.random() < 0.7:
            content[2:6] = draw.randrange(12).to_bytes(4, "little")
        kind = CommandKind.CUT if len(content) == 64 else CommandKind.WHOLE
        service.command(bytes(content), draw.randrange(2), kind)
        if draw.random() < 0.01:
            service.reset(draw.randrange(2))
