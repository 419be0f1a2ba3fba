"""A card of RTL that boots by itself and is configured by the unmodified client alone.

Its own processor runs the real images; the client talks to it over the wire while frames pass.
"""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path

import cbor2
import pytest

from niter.security.key_registers import KeyCommand
from niterctl.card import Card, Tunnel
from niterctl.client import Session
from niterctl.protocol import PROBE_PADDING, Role, Status
from sim.live.books import Books
from sim.live.client import Client, Memory
from sim.live.driver import NetDriver
from sim.live.managed import CARD, PEER, TENANT, managed_card
from sim.live.station import udp_frame
from sim.soc.identity import KEYS, check_document, identity
from sim.soc.rig import images

from .conftest import free_port, measured

pytestmark = pytest.mark.managed

BASE = 0x1_0000_0000
STATION, FAR, OWN = PEER.stations[0], "192.0.2.2", TENANT.addresses[0]
#: Real seconds that are waited for anything: the simulation is slow.
PATIENCE = 6000
HERTZ = CARD.soc.clock_hz


class Traffic:
    """A guest and a station that send each other datagrams, each with a number of its own."""

    def __init__(self, managed):
        self.managed, self.draw, self.serial = managed, random.Random(1), 0
        self.sent, self.received = Books(), Books()
        self.memory = Memory(NetDriver.size(1))
        self.client = Client(managed.card.sockets[0])
        assert not self.client.map(BASE, self.memory.size, self.memory.fd)
        self.driver = NetDriver(self.client, self.memory, BASE, 1)
        self.driver.start(1, 64, 2048)

    def _frame(self, books, to, source, to_ip, source_ip):
        self.serial += 1
        data = self.serial.to_bytes(8, "big") + self.draw.randbytes(self.draw.randint(10, 1400))
        books.offered += 1
        return udp_frame(to, source, to_ip, source_ip, self.draw.randrange(1, 1 << 16), data)

    def outgoing(self):
        return self._frame(self.sent, STATION, TENANT.address, FAR, OWN)

    def incoming(self):
        return self._frame(self.received, TENANT.address, STATION, OWN, FAR)

    def offer(self, out, back):
        """Send frames both ways."""
        while out:
            out = self.driver.send(0, out)
        for frame in back:
            wire = self.managed.station.wrap(frame, TENANT.vni, self.draw.randrange(1, 1 << 16))
            while not self.managed.station.send(wire):
                self.collect()

    def collect(self):
        for frame in self.managed.station.receive():
            self.sent.check(*self.managed.station.unwrap(frame))
        for frame in self.driver.received():
            self.received.check(0, frame)

    def burst(self, count):
        """So many frames each way; all of them arrive."""
        out = [self.outgoing() for _ in range(count)]
        back = [self.incoming() for _ in range(count)]
        for frame in out:
            self.sent.expect(TENANT.vni, frame)
        for frame in back:
            self.received.expect(0, frame)
        self.offer(out, back)
        end = time.monotonic() + PATIENCE
        while self.sent.expected or self.received.expected:
            self.collect()
            # The processor's time is the card's.
            time.sleep(0.002)
            assert time.monotonic() < end, (self.sent.expected, self.received.expected)

    def during(self, work: Future, rest: Callable[[], None] = lambda: None) -> int:
        """Frames flow both ways, with rests, until something is done; how many there were."""
        before = self.sent.arrived + self.received.arrived
        while not work.done():
            self.burst(16)
            rest()
        return self.sent.arrived + self.received.arrived - before

    def close(self):
        self.client.socket.close()
        self.memory.close()


class Bench:
    """The card, traffic, and one session of its owner's."""

    def __init__(self, managed):
        self.managed, self.found = managed, images(CARD)
        self.traffic = Traffic(managed)
        self.pool = ThreadPoolExecutor(1)
        # Nothing passes yet.
        self.traffic.offer([self.traffic.outgoing()], [self.traffic.incoming()])
        self.run(100_000)
        self.traffic.collect()
        assert self.traffic.sent.arrived == self.traffic.received.arrived == 0
        self.begin()

    def begin(self):
        """Open a session, and let frames pass."""
        self.session = self.do(self._open)
        self.card = Card(self.session)
        self.do(self._provision)

    def _open(self):
        # It asks again: functions are released before the card listens.
        options = {"timeout": 2, "retries": PATIENCE, "role": Role.OWNER, "key": KEYS[Role.OWNER]}
        card = identity(self.found)
        return Session("127.0.0.1", self.managed.gateway.port, card=card, **options).__enter__()

    def _provision(self):
        self.card.add_port(0, TENANT.address, TENANT.vni, (IPv4Address(OWN),))
        self.add(STATION, FAR)
        self.card.set_time(time.time_ns() // 1_000_000)

    def add(self, mac, address, card=None):
        tunnel = Tunnel(IPv4Address(PEER.vtep), PEER.next_hop)
        (card or self.card).add_route(TENANT.vni, mac, tunnel, (IPv4Address(address),))

    @property
    def cycles(self):
        return self.managed.card.control.status()["cycles"]

    def run(self, cycles):
        end = self.cycles + cycles
        while self.cycles < end:
            time.sleep(0.02)

    def read(self, register, field=None):
        return asyncio.run(self.managed.card.control.read(register, field))

    def write(self, register, **fields):
        asyncio.run(self.managed.card.control.write(register, **fields))

    def registers(self):
        return measured(self.managed.card.control, self.found)

    def do(self, work, *arguments):
        return self.pool.submit(work, *arguments).result(PATIENCE)

    def close(self):
        self.session.close()
        self.pool.shutdown()
        self.traffic.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    port = free_port()
    folder = tmp_path_factory.mktemp("card")
    managed = managed_card(folder, Path("build/live/models"), port=port)
    try:
        print(f"released within {managed.boot_cycles} cycles")
        assert "console: A" in managed.card.log.read_text()
        made = Bench(managed)
        yield made
        made.close()
        status = managed.card.control.status()
        assert not status["violations"] and not status["timeouts"]
    finally:
        managed.close()


def test_frames_pass_once_the_client_has_said_so(bench):
    bench.traffic.burst(20)


class Ahead:
    """In a session's place: keeps requests, and has the next one under way while one is answered.

    So the card waits for no client, whose own time is none of the card's: it thinks for a moment
    where the simulation is alone, and for much longer where the machine is busy.
    """

    def __init__(self, session):
        self.session, self.plain = session, []

    def request(self, command, *arguments):
        self.plain.append(cbor2.dumps([int(self.session.role), int(command), list(arguments)]))

    def run(self):
        """Send all; the status of each."""
        session, line = self.session, self.session._line._socket
        first = session._counter + 1
        questions = [session.seal(n, plain) for n, plain in enumerate(self.plain, first)]
        session._counter += len(questions)
        found, sent = [], 0
        line.settimeout(PATIENCE)
        while len(found) < len(questions):
            while sent < min(len(found) + 2, len(questions)):
                line.send(questions[sent])
                sent += 1
            answer = session.unseal(line.recv(4096), first + len(found))
            if answer is not None:
                found.append(cbor2.loads(answer)[0])
        return found


def test_a_hundred_table_updates_a_second_lose_no_frame(bench):
    """In one session, while frames flow both ways."""
    count = 40
    ahead = Ahead(bench.session)
    card = Card(ahead)
    for number in range(count // 2):
        mac = f"02:00:00:00:01:{number:02x}"
        bench.add(mac, f"192.0.2.{100 + number}", card)
        if number % 2:
            card.remove_route(TENANT.vni, mac)
        else:
            bench.add(mac, f"192.0.2.{150 + number}", card)

    begin = bench.cycles
    work = bench.pool.submit(ahead.run)
    frames = bench.traffic.during(work)
    assert work.result() == [Status.OK] * count
    taken = bench.cycles - begin
    rate = count * HERTZ / taken
    print(f"{count} updates and {frames} frames in {taken} cycles: {rate:.0f} updates a second")
    assert frames >= 64 and rate >= 100
    assert len(bench.do(bench.card.routes)) == 2 + count // 4


def test_what_nobody_would_send_changes_nothing(bench):
    """Cut, flipped, repeated and senseless datagrams in the middle of a session."""
    draw = random.Random(2)
    gateway, seen = bench.managed.gateway, []
    datagram = gateway.datagram
    gateway.datagram = lambda data: seen.append(data) or datagram(data)
    before = bench.do(lambda: (bench.card.ports(), bench.card.routes(), bench.card.tunnels()))
    bench.do(bench.card.status)
    bad = []
    for good in (seen[-1], cbor2.dumps([1, bytes(16), bytes(PROBE_PADDING)])):
        bad += [good[: draw.randrange(1, len(good))] for _ in range(4)]
        for _ in range(6):
            at = draw.randrange(len(good))
            bad.append(good[:at] + bytes([good[at] ^ 1 << draw.randrange(8)]) + good[at + 1 :])
        bad.append(good + b"\0")
    bad += [seen[0], seen[-2], b"", draw.randbytes(40), b"\x9f" * 600, b"\xa1\x00\x00"]
    for each in bad:
        gateway.send(datagram(each))
        # The packet port passes one in a millisecond; there are fewer than the card looks at.
        bench.run(HERTZ // 900)
    after = bench.do(lambda: (bench.card.ports(), bench.card.routes(), bench.card.tunnels()))
    assert after == before
    bench.traffic.burst(10)


def test_a_document_while_frames_flow(bench):
    """Believed by others, and within 80 million cycles."""
    nonce = bytes(range(32))
    begin = bench.cycles
    work = bench.pool.submit(bench.card.attest, nonce, b"hello")
    frames = bench.traffic.during(work, lambda: bench.run(200_000))
    document, taken = work.result(), bench.cycles - begin
    print(f"a document and {frames} frames in {taken} cycles")
    assert frames >= 64 and taken <= 80_000_000
    check_document(bench.found, document, nonce=nonce, user_data=b"hello")
    status = bench.do(bench.card.status)
    print(f"longest slice {status['longest_slice_cycles']} cycles")


def test_the_watchdog_resets_the_processor_and_no_frame_is_lost(bench):
    """Core, measurements and keys together; the tables stay until the firmware clears them."""
    starts = "console: A"
    boots = bench.managed.card.log.read_text().count(starts)
    assert bench.registers() == bench.found.measurements()
    # The firmware of a network card leaves no key in the store.
    bench.write("soc.keys.command", code=KeyCommand.LOAD.value)
    for word in range(16):
        bench.write("soc.keys.key", data=word)
    bench.write("soc.keys.command", code=KeyCommand.COMMIT.value, derive=1)
    assert bench.read("soc.keys.loaded", "slots") == 1 and not bench.read("soc.watchdog.cause")
    begin = bench.cycles
    bench.write("soc.watchdog.feed", ticks=0)
    assert not any(map(any, bench.registers().values()))
    assert not bench.read("soc.keys.loaded", "slots") and bench.read("soc.watchdog.cause")
    bench.traffic.burst(20)
    assert bench.cycles - begin < 5_000_000
    # It boots as ever, and then nothing passes until it is told so.
    bench.run(10_000_000)
    assert bench.managed.card.log.read_text().count(starts) == boots + 1
    assert bench.registers() == bench.found.measurements()
    arrived = bench.traffic.sent.arrived, bench.traffic.received.arrived
    bench.traffic.offer([bench.traffic.outgoing()], [bench.traffic.incoming()])
    bench.run(100_000)
    bench.traffic.collect()
    assert (bench.traffic.sent.arrived, bench.traffic.received.arrived) == arrived
    bench.session.close()
    bench.begin()
    assert "watchdog_reset" in bench.do(bench.card.status)["health"]
    bench.traffic.burst(20)
