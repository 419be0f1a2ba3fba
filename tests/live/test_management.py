"""The firmware beside a running card, between ``niterctl`` and a control socket in plain Python."""

import dataclasses
import socketserver
import threading

import pytest

from niter.card import Card
from niter.nvme.engine import NamespaceRecord
from niter.storage import VolumeRecord
from sim.live.config import LiveConfig
from sim.live.management import Manager
from sim.live.storage import Disk
from tests.firmware.test_volumes import CONFIG

DISK = Disk("02:bb:00:00:00:a0", 7, 3, 4096, first=100, function=1, nsid=2)


class Words(socketserver.ThreadingUnixStreamServer):
    """A control bus whose words are what was written last; with ``refuses`` nothing is possible."""

    daemon_threads = True

    def __init__(self, path):
        self.words: dict[int, int] = {}
        self.refuses = False
        super().__init__(str(path), _Lines)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def at(self, path, first=0):
        [info] = [
            info
            for info in Card(CONFIG).csr.memory_map.all_resources()
            if ".".join(info.path) == path
        ]
        return self.words.get(info.start + first, 0)


class _Lines(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            command, *numbers = line.decode().split()
            address, *value = (int(number, 16) for number in numbers)
            answer = "ok"
            if self.server.refuses:
                answer = "error: not now"
            elif command == "write":
                self.server.words[address] = value[0]
            else:
                answer = f"ok {self.server.words.get(address, 0):x}"
            self.wfile.write(f"{answer}\n".encode())


@pytest.fixture
def card(tmp_path):
    with Words(tmp_path / "control.sock") as server:
        yield server
        server.shutdown()


def test_disks_are_attached_and_detached_with_niterctl(card, tmp_path):
    config = LiveConfig(card=CONFIG, disks=(DISK,))
    manager = Manager(tmp_path / "firmware", tmp_path / "control.sock", config)
    record = NamespaceRecord.STRIDE * 3
    try:
        assert card.at("card.release") == 3
        assert card.at("storage.volumes.table.words", VolumeRecord.FIRST) == DISK.first
        assert card.at("storage.nvme.engine.namespaces", record + NamespaceRecord.BLOCKS) == 4096
        manager.attach(1, dataclasses.replace(DISK, first=8192, nsid=1), wire=1)
        volumes = manager.niterctl("volume", "list")
        assert [volume["target"]["port"] for volume in volumes] == [0, 1]
        manager.detach(0)
        assert card.at("storage.nvme.engine.namespaces", record) == 0
        with pytest.raises(RuntimeError, match="MISSING"):
            manager.detach(0)
    finally:
        manager.stop()


def test_a_card_that_refuses_an_access_ends_the_firmware(card, tmp_path):
    config = LiveConfig(card=CONFIG)
    manager = Manager(tmp_path / "firmware", tmp_path / "control.sock", config)
    card.refuses = True
    status = manager._firmware.wait()
    with pytest.raises(AssertionError, match="not now"):
        manager.stop()
    assert status == 1
