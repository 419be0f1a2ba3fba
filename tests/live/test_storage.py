"""The processor of a running storage card, between a mailbox in plain Python and its firmware."""

import time

import pytest

from firmware.host.nvme.process import Access
from niter.nvme.front.messages import RequestKind
from sim.live.storage import Disk, Processor, places
from sim.models.nvme.specification import Admin, Cns
from sim.models.nvme.structures import Namespace
from tests.firmware.nvme_host import LIMITS, MailboxModel

PAGE = 0x1_0000_0000
DISK = Disk("02:bb:00:00:00:a0", 7, 3, 65536, function=1, nsid=2)


class Socket:
    """The control socket of a card that is no more than its mailbox."""

    def __init__(self):
        self.model = MailboxModel()
        self.gone = self.closed = False

    def command(self, line):
        if self.gone:
            raise ConnectionError("the card has gone")
        kind, address, *value = line.split()
        assert kind == ("write" if value else "read")
        wanted = Access(int(address, 16), int(value[0], 16) if value else None)
        answer = self.model.access(wanted)
        return "" if value else f"{answer:x}"

    post = command

    def close(self):
        self.closed = True


def start(socket, *disks):
    return Processor(socket, socket.model.memory_map, LIMITS, disks)


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


def test_a_command_is_carried_out():
    socket = Socket()
    processor = start(socket, DISK)
    socket.model.send(1, RequestKind.EVENT, 0, (3).to_bytes(8, "little"))
    entry = bytearray(64)
    entry[0] = Admin.IDENTIFY
    entry[4:8] = DISK.nsid.to_bytes(4, "little")
    entry[24:32] = PAGE.to_bytes(8, "little")
    entry[40] = Cns.NAMESPACE
    socket.model.send(1, RequestKind.ADMIN, 5, bytes(entry))
    wait_for(lambda: [told for told in socket.model.told if not told.silent and told.tag == 5])
    processor.stop()
    assert socket.closed
    page = bytes(socket.model.memory[PAGE + n] for n in range(4096))
    assert Namespace(page).nsze == DISK.length


def test_a_namespace_that_cannot_be_is_refused():
    socket = Socket()
    with pytest.raises(ValueError, match="function 1 can have no namespace 99"):
        start(socket, Disk("02:bb:00:00:00:a0", 7, 3, 8, function=1, nsid=99))
    assert socket.closed


def test_a_card_that_goes_is_told_at_the_end():
    socket = Socket()
    processor = start(socket, DISK)
    socket.gone = True
    wait_for(lambda: not processor.alive)
    with pytest.raises(ConnectionError, match="has gone"):
        processor.stop()


def test_each_disk_has_a_volume_and_a_target():
    other = Disk("02:bb:00:00:00:a1", 8, 1, 16, first=100, read_only=True)
    first, second = places([DISK, other])
    assert (first.volume, first.target, first.shelf, first.slot) == (0, 0, 7, 3)
    assert (second.volume, second.target, second.first, second.length) == (1, 1, 100, 16)
    assert second.read_only and not first.read_only
