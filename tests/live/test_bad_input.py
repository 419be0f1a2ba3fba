"""What hosts and wires must not be able to do to the process."""

import contextlib
import errno
import os
import socket
import struct
import time
from random import Random

import pytest

from sim.live.client import CONFIG, Client, Memory

from .driver import BASE, SIZE, begin, offer

pytestmark = pytest.mark.slow

VIRTIO = 0x1AF4


def still_serves(card) -> None:
    with Client(card.sockets[0]) as client:
        assert client.read(CONFIG, 0, 2) == VIRTIO


def wait_for(condition, seconds: float = 20.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "never happened"
        time.sleep(0.05)
    return value


@pytest.mark.parametrize(
    "message",
    [
        struct.pack("<HHIII", 1, 4, 8, 0, 0),
        struct.pack("<HHIII", 1, 4, 1 << 30, 0, 0),
        struct.pack("<HHIII", 1, 4, 20, 0, 0) + bytes(4),
        struct.pack("<HHIII", 1, 1, 16, 1, 0),
        struct.pack("<HHIII", 1, 1, 22, 0, 0) + b"\x07\0\0\0{}",
    ],
    ids=["short", "endless", "before-version", "reply", "version-7"],
)
def test_malformed_message_cuts_its_sender_off(card, message):
    with Client(card.sockets[0], greet=False) as client:
        client.socket.sendall(message)
        assert client.closed()
    assert "cut off" in card.log.read_text()
    still_serves(card)


@pytest.mark.parametrize(
    ("command", "payload", "error"),
    [
        (99, b"", errno.ENOTSUP),
        (Client.MAP, bytes(8), errno.EINVAL),
        (Client.REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 77, 0, 0, 0), errno.EINVAL),
        (Client.IRQS, struct.pack("<IIIII", 20, 0x24, 2, 0xFFFFFFF0, 0x20), errno.EINVAL),
        (Client.READ, struct.pack("<QII", 4094, CONFIG, 4), errno.EINVAL),
        (Client.READ, struct.pack("<QII", 0, 1, 4), errno.EINVAL),
        (Client.READ, struct.pack("<QII", (1 << 64) - 2, 0, 4), errno.EINVAL),
        (Client.WRITE, struct.pack("<QII", 0, 0, 4) + bytes(2), errno.EINVAL),
    ],
)
def test_impossible_request_is_refused(card, command, payload, error):
    with Client(card.sockets[0]) as client:
        assert client.ask(command, payload)[0] == error
        assert client.read(CONFIG, 0, 2) == VIRTIO


def test_functions_are_apart_and_bars_have_sizes(card):
    with Client(card.sockets[0]) as first, Client(card.sockets[1]) as second:
        for client in (first, second):
            client.write(CONFIG, 0x10, 4, 0xFFFFFFFF)
        size = ~(first.read(CONFIG, 0x10, 4) & ~0xF) + 1 & 0xFFFFFFFF
        _, info = first.ask(Client.REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, 0))
        assert struct.unpack("<IIIIQQ", info)[4] == size
        # Both guests may choose the same address.
        for client in (first, second):
            client.write(CONFIG, 0x10, 4, 0xE0000000)
            client.write(CONFIG, 4, 2, 6)
            assert client.read(CONFIG, 0x10, 4) & ~0xF == 0xE0000000
        first.write(0, 0x14, 1, 1)
        assert first.read(0, 0x14, 1) == 1
        assert second.read(0, 0x14, 1) == 0


def test_frame_leaves_and_memory_stays_as_it_was(card, tmp_path):
    station = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    station.bind(str(tmp_path / "station"))
    station.settimeout(20)
    station.sendto(bytes(60), str(tmp_path / "wire"))
    memory = Memory(SIZE)
    with Client(card.sockets[0]) as client:
        assert client.map(BASE, SIZE, memory.fd) == 0
        begin(client)
        tenant = card.config.tenants[0]
        own = bytes.fromhex(tenant.address.replace(":", ""))
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + bytes([10, 0, 0, 1]) + bytes(6)
        frame = b"\xff" * 6 + own + b"\x08\x06" + arp + bytes([10, 0, 0, 77])
        before = memory.read(0x4000, SIZE - 0x4000)
        offer(client, memory, frame)
        sent = station.recv(2048)
        assert sent[50:92] == frame
        wait_for(lambda: memory.read(0x2002, 2) == b"\1\0")
        assert memory.read(0x4000, SIZE - 0x4000) == before
    station.close()
    memory.close()


def test_memory_comes_with_its_own_message(card):
    """Messages may wait behind each other: a descriptor is of the one that it was sent with."""
    memory = Memory(SIZE)
    with Client(card.sockets[0]) as client:
        assert client.map(BASE, SIZE, memory.fd) == 0
        # While this is read, what follows piles up.
        client.send(Client.READ, struct.pack("<QII", 0, CONFIG, 4))
        client.send(Client.UNMAP, struct.pack("<IIQQ", 24, 0, BASE, SIZE))
        client.send(Client.MAP, struct.pack("<IIQQQ", 32, 3, 0, BASE, SIZE), (memory.fd,))
        assert [client.answer()[1] for _ in range(3)] == [0, 0, 0]
        begin(client)
        offer(client, memory)
        wait_for(lambda: memory.read(0x2002, 2) == b"\1\0")
    assert "where no memory is" not in card.log.read_text()
    memory.close()


def test_map_without_memory_is_never_touched(card):
    with Client(card.sockets[0]) as client:
        assert client.map(BASE, SIZE, None) == 0
        begin(client)
        offer(client, None)
        wait_for(lambda: card.control.status()["refused"])
        assert client.read(CONFIG, 0, 2) == VIRTIO
    assert "where no memory is" in card.log.read_text()


def test_map_beyond_its_file_or_over_another_is_refused(card):
    memory = Memory(4096)
    with Client(card.sockets[0]) as client:
        assert client.map(BASE, 8192, memory.fd) == errno.EINVAL
        assert client.map(BASE, 4096, memory.fd, offset=1 << 63) == errno.EINVAL
        assert client.map((1 << 64) - 4096, 8192, memory.fd) == errno.EINVAL
        assert client.map(BASE, 4096, memory.fd) == 0
        assert client.map(BASE, 4096, memory.fd) == errno.EEXIST
        assert client.unmap(BASE, 2048) == errno.EINVAL
        assert client.unmap(BASE, 4096) == 0
    memory.close()


def test_host_that_dies_leaves_the_function_in_reset(card):
    memory = Memory(SIZE)
    client = Client(card.sockets[0])
    assert client.map(BASE, SIZE, memory.fd) == 0
    begin(client)
    offer(client, memory)
    client.socket.close()
    wait_for(lambda: not card.control.status()["functions"][0]["connected"])
    with Client(card.sockets[0]) as again:
        assert again.read(CONFIG, 4, 2) & 6 == 0
        again.write(CONFIG, 4, 2, 2)
        assert again.read(0, 0x14, 1) == 0
    memory.close()


def test_slow_client_is_waited_for(card):
    """It asks for more than a socket holds, and reads nothing; the others are served."""
    count = 400
    with Client(card.sockets[0]) as slow:
        slow.socket.settimeout(0.5)
        sent = 0
        try:
            for _ in range(count):
                slow.send(Client.READ, struct.pack("<QII", 0, CONFIG, 4096))
                sent += 1
        except TimeoutError:
            pass
        with Client(card.sockets[1]) as other:
            assert other.read(CONFIG, 0, 2) == VIRTIO
        slow.socket.settimeout(60)
        answered = 0
        while answered < min(sent, 40):
            _, error, data = slow.answer()
            assert not error and data[16:18] == VIRTIO.to_bytes(2, "little")
            answered += 1


def test_access_that_comes_as_the_clocks_stop(card):
    """They stop a while after the last access: not with another one at hand."""
    random = Random(1)
    with Client(card.sockets[0]) as client:
        client.socket.settimeout(10)
        for _ in range(600):
            time.sleep(random.uniform(0, 0.03))
            assert client.read(CONFIG, 0, 2) == VIRTIO


def test_reset_forgets_the_driver(card):
    with Client(card.sockets[0]) as client:
        client.write(CONFIG, 4, 2, 6)
        client.write(0, 0x14, 1, 3)
        assert client.ask(Client.RESET)[0] == 0
        client.write(CONFIG, 4, 2, 6)
        assert client.read(0, 0x14, 1) == 0


def test_wire_that_floods_and_vanishes(card, tmp_path):
    station = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    station.bind(str(tmp_path / "station"))
    station.setblocking(False)
    end, refused = time.monotonic() + 3, 0
    while time.monotonic() < end:
        try:
            station.sendto(os.urandom(200), str(tmp_path / "wire"))
        except BlockingIOError:
            refused += 1
    assert refused, "the wire takes all that comes"
    station.close()
    (tmp_path / "station").unlink()
    still_serves(card)
    # What the card has to say now reaches nobody, and is counted.
    memory = Memory(SIZE)
    with Client(card.sockets[0]) as client:
        client.map(BASE, SIZE, memory.fd)
        begin(client)
        own = bytes.fromhex(card.config.tenants[0].address.replace(":", ""))
        offer(client, memory, b"\xff" * 6 + own + b"\x88\xb5" + bytes(46))
        wait_for(lambda: card.control.status()["ports"][0]["lost"])
    memory.close()


def test_control_socket_takes_nonsense(card):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(card.folder / "control.sock"))
        one.sendall(b"read\nwrite zz\n\x00\xff\n")
        time.sleep(0.3)
        assert one.recv(4096).count(b"error") == 3
        one.sendall(b"x" * 10000)
        time.sleep(0.3)
        with contextlib.suppress(ConnectionResetError):
            assert not one.recv(4096)
    assert card.control.status()["cycles"]
