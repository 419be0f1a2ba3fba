"""The firmware of a card with both halves: ports, volumes, control and admin queues in one process.

Its control bus is ``CardModel``: words that are kept, and behind the mailbox hosts of both kinds of
functions. Tables are compared with what ``sim.models`` writes to them.
"""

import asyncio
import socket
import threading
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from firmware.host.build import CONFIG as NETWORK
from firmware.host.nvme.process import Access
from firmware.host.process import HostCard
from niter.card import Card as CardGateware
from niter.card import CardConfig, StorageConfig
from niter.net.drop import counter_names
from niter.nvme.engine import NamespaceRecord
from niter.nvme.front.messages import RequestKind
from niter.security.key_registers import KeyCommand
from niter.soc import SocConfig
from niter.storage import VolumeRecord
from niter.virtio.net.messages import CommandKind
from niterctl.card import Card, Tunnel
from niterctl.client import RequestError
from niterctl.protocol import Role, Status
from sim.models.nvme.specification import Admin, Cns
from sim.models.nvme.structures import Controller, words
from sim.models.overlay import OverlayTables
from sim.models.overlay import Tunnel as ModelTunnel
from sim.models.storage import Place, open_storage

from .conftest import POLICY, open_session
from .nvme_host import MailboxModel, submission_entry
from .test_tables import table, target, who_has
from .test_volumes import NVME, TABLES, VOLUME, Written, namespace, refused

CONFIG = CardConfig(
    overlay=replace(NETWORK.overlay, peers=16),
    storage=StorageConfig(nvme=NVME, volumes=4, encryption=True),
    frame_bytes=9600,
    soc=SocConfig(),
)
NET, STORAGE = range(2)
#: The first controller's function.
DISK = CONFIG.network_functions
PORT_MAC, STATION = "02:00:00:00:00:01", "02:00:00:00:00:02"
VIA = Tunnel(ip_address("198.51.100.2"), "02:00:00:00:00:99", port=1)
PAGE = 0x1_0000_0000
PEERS = "tunnel.peers.words"


class CardModel(MailboxModel):
    """A control bus behind a socket, as a running card has it; see ``firmware/host/bus.c``."""

    def __init__(self, place):
        super().__init__(CardGateware(CONFIG).csr.memory_map, CONFIG.functions)
        self.config = CONFIG
        self.answers = {}
        #: The key store's, by slot; and whether it refuses.
        self.keys = {}
        self.refuses = False
        self._key, self._key_polls = b"", 0
        self._kept = {}
        self._where = {path: at for at, (path, word) in self._names.items() if not word}
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            line, _ = self._listener.accept()
        except OSError:
            return
        with self._lock:
            self.enable(*range(DISK, CONFIG.functions))
        with line, line.makefile() as orders:
            for order in orders:
                what, address, *value = order.split()
                wanted = Access(int(address, 16), int(value[0], 16) if value else None)
                with self._lock:
                    found = self._access(wanted)
                line.sendall(b"ok\n" if what == "write" else b"ok %x\n" % found)

    def _access(self, wanted):
        path = self._names[wanted.address][0]
        if path.startswith("soc.mailbox."):
            return self.access(wanted)
        if path.startswith("soc.keys."):
            return self._key_store(path.removeprefix("soc.keys."), wanted)
        if wanted.value is None:
            return self._kept.get(wanted.address, 0)
        self._kept[wanted.address] = wanted.value
        return None

    def _key_store(self, register, wanted):
        """Each command takes a while; keys are for storage alone."""
        match register, wanted.value:
            case "status", None:
                self._key_polls += 1
                return 1 if self._key_polls % 3 else 2 * self.refuses
            case "key", word:
                self._key += word.to_bytes(4, "little")
                return None
            case "command", code:
                slot = self._kept[self._where["soc.keys.slot"]]
                if self.refuses:
                    return None
                if code == KeyCommand.LOAD.value:
                    self._key = b""
                elif code == KeyCommand.ZEROISE.value:
                    self.keys.pop(slot, None)
                else:
                    assert code == KeyCommand.COMMIT.value | 1 << 3 and len(self._key) == 64
                    self.keys[slot] = self._key
                return None
        self._kept[wanted.address] = wanted.value
        return None

    def words(self, path, first=0, count=1):
        """As ``HostCard.words``."""
        return [self._kept.get(self._where[path] + first + n, 0) for n in range(count)]

    def enable(self, *functions):
        """Hosts enable controllers."""
        for function in functions:
            events = (3).to_bytes(8, "little")
            self.send(function, RequestKind.EVENT, 0, events, engine=STORAGE)

    def _tell(self, function, target, content):
        if target >> 16 & 0xFF == STORAGE:
            super()._tell(function, target, content)
            told = self.told.pop()
            self.answers[function, told.tag] = told.status
        else:
            tag = self._latched["transfer.tag"]
            self.answers[function, tag] = int.from_bytes(content, "little")

    def ask(self, function, kind, tag, content, engine):
        """Hand over a command."""
        with self._lock:
            self.send(function, kind, tag, content, engine=engine)

    def answer(self, function, tag):
        """Wait for an answer."""
        end = time.monotonic() + 20
        while (function, tag) not in self.answers:
            assert time.monotonic() < end, "no answer"
            time.sleep(0.002)
        with self._lock:
            return self.answers.pop((function, tag))

    def admin(self, function, tag, opcode, **fields):
        """An admin command, which is to end well."""
        entry = submission_entry(opcode, tag, **fields)
        self.ask(function, RequestKind.ADMIN, tag, entry, STORAGE)
        assert not self.answer(function, tag)

    def control(self, function, tag, content):
        """A command of a control queue; returns its answer."""
        self.ask(function, CommandKind.WHOLE, tag, content, NET)
        return self.answer(function, tag)

    def host_memory(self, at, length):
        return bytes(self.memory.get(at + n, 0xEE) for n in range(length))

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def model(tmp_path):
    made = CardModel(tmp_path / "bus")
    with HostCard(tmp_path, POLICY, config=CONFIG, card=tmp_path / "bus") as running:
        made.running = running
        yield made
    made.close()


@pytest.fixture
def operator(model):
    with open_session(model.running, Role.OPERATOR) as session:
        yield Card(session)


def volume(**changes):
    return replace(VOLUME, function=DISK + 1, **changes)


def tables():
    addresses = {"ipv4": str(POLICY.ipv4), "ipv6": str(POLICY.ipv6)}
    return OverlayTables(CONFIG.overlay, mac=POLICY.mac.hex(":"), **addresses)


def peers(model):
    """The table of those who may send."""
    return dict(enumerate(model.words(f"overlay.{PEERS}", 0, 2 * CONFIG.overlay.peers)))


def written(made, path):
    return {word: value for where, word, value in made.writes if where == path}


def test_both_halves_are_opened_once(model):
    """All functions are released, behind closed tables, and both ports are on."""
    probe = Written(CONFIG)
    asyncio.run(open_storage(probe, CONFIG, mac=POLICY.mac.hex(":"), places=[]))
    with open_session(model.running):
        for path in ("mac_0.registers.control", "mac_1.registers.control", "card.release"):
            assert model.words(path) == [probe.words[probe.address(path)]], path
        assert model.words("card.release") == [0b1111]
        sources = [probe.words[probe.address("storage.aoe.sources.words") + n] for n in range(4)]
        assert model.words("storage.aoe.sources.words", 0, 4) == sources
        endpoint = written(tables(), "tunnel.endpoint.words")
        assert endpoint
        for word, value in endpoint.items():
            assert model.words("overlay.tunnel.endpoint.words", word) == [value]
        assert not any(peers(model).values())


def test_without_an_address_nothing_is_switched_on(tmp_path):
    made = CardModel(tmp_path / "bus")
    with HostCard(tmp_path, None, config=CONFIG, card=tmp_path / "bus"):
        end = time.monotonic() + 20
        while model_released(made) == [0]:
            assert time.monotonic() < end
            time.sleep(0.01)
    made.close()
    for path in ("mac_0.registers.control", "mac_1.registers.control"):
        assert made.words(path) == [0]


def model_released(model):
    return model.words("card.release")


def test_ports_and_volumes_stand_side_by_side(model, operator):
    operator.add_port(1, PORT_MAC, 5, (ip_address("10.0.0.1"),))
    operator.attach_volume(volume())
    operator.add_route(5, STATION, VIA, (ip_address("10.0.0.2"),))
    found = table(model)
    assert target(found, 5, STATION) == 0
    assert who_has(found, 5, "10.0.0.1") == PORT_MAC
    assert who_has(found, 5, "10.0.0.2") == STATION
    assert operator.volumes() == [volume()]
    assert [port["function"] for port in operator.ports()] == [1]
    probe = Written(CONFIG)
    place = Place.at(1, VOLUME.target, first=VOLUME.first, length=VOLUME.length)
    asyncio.run(open_storage(probe, CONFIG, mac=POLICY.mac.hex(":"), places=[place]))
    for path, stride in TABLES.items():
        wanted = [probe.words.get(probe.address(path) + stride + n, 0) for n in range(stride)]
        assert model.words(path, stride, stride) == wanted, path
    flags = NamespaceRecord.ACTIVE | 1 << NamespaceRecord.VOLUME_SHIFT
    assert namespace(model, volume()) == [flags, VOLUME.length, 0]
    operator.detach_volume(1)
    operator.remove_route(5, STATION)
    assert namespace(model, volume())[0] == 0
    assert target(table(model), 5, STATION) is None


KEY = bytes(range(64))


def test_a_volumes_key_goes_to_the_key_store(model, operator):
    operator.attach_volume(volume(), KEY)
    assert model.keys == {1: KEY}
    assert operator.volumes() == [volume(encrypted=True)]
    probe = Written(CONFIG)
    place = Place.at(1, VOLUME.target, first=VOLUME.first, length=VOLUME.length)
    places = [replace(place, key=1)]
    asyncio.run(open_storage(probe, CONFIG, mac=POLICY.mac.hex(":"), places=places))
    at = VolumeRecord.STRIDE + VolumeRecord.FLAGS
    table = "storage.volumes.table.words"
    assert model.words(table, at) == [probe.words[probe.address(table) + at]]
    operator.attach_volume(volume(number=2, nsid=1, first=0))
    assert [each.encrypted for each in operator.volumes()] == [True, False]
    operator.detach_volume(1)
    assert model.keys == {} and model.words(table, at) == [0]


def test_no_key_and_no_volume(model, operator):
    for key, status in (
        (KEY[:63], Status.MALFORMED),
        (KEY + b"\0", Status.MALFORMED),
        (b"", Status.MALFORMED),
        (KEY[:32] * 2, Status.RANGE),
    ):
        assert refused(operator.attach_volume, volume(), key) == status
    model.refuses = True
    assert refused(operator.attach_volume, volume(), KEY) == Status.STATE
    assert model.keys == {} and operator.volumes() == []
    model.refuses = False
    operator.attach_volume(volume(), KEY)
    # A second one of that number takes nothing away.
    assert refused(operator.attach_volume, volume(), KEY[::-1]) == Status.STATE
    assert model.keys == {1: KEY}


def test_a_function_is_of_one_half(operator):
    for function in (0, 1, CONFIG.functions):
        assert refused(operator.attach_volume, replace(VOLUME, function=function)) == Status.RANGE
    for function in range(DISK, CONFIG.functions):
        assert refused(operator.add_port, function, PORT_MAC, 5) == Status.RANGE
    assert refused(operator.set_storage_tunnel, 5, VIA.remote, VIA.next_hop) == Status.UNSUPPORTED


def test_counters_are_of_the_networks_functions(operator):
    assert operator.status()["functions"] == CONFIG.functions
    for bank in operator.counters().values():
        assert list(bank) == counter_names(CONFIG.network_functions)


def test_hosts_of_both_kinds_are_served(model, operator):
    operator.add_port(1, PORT_MAC, 5)
    operator.attach_volume(volume())
    model.admin(DISK + 1, 7, Admin.IDENTIFY, prp1=PAGE, dw10=Cns.CONTROLLER)
    assert model.control(1, 9, bytes([0, 0, 1])) == 0
    assert model.words("net.filter.mode") == [1 << 8 | 1]
    controller = Controller(model.host_memory(PAGE, 4096))
    assert controller.cntlid == 1
    model.admin(DISK + 1, 8, Admin.IDENTIFY, prp1=PAGE, dw10=Cns.ACTIVE)
    assert words(model.host_memory(PAGE, 4096)) == [VOLUME.nsid]
    # A control queue's address is that of its port.
    assert model.control(1, 10, b"\x01\x01" + bytes.fromhex(PORT_MAC.replace(":", ""))) == 0
    assert model.control(0, 10, b"\x01\x01" + bytes.fromhex(PORT_MAC.replace(":", ""))) == 1


def test_commands_of_both_kinds_meet(model, operator):
    """While tables are changed, hosts ask as much as their quota lets them."""
    asked = []
    for turn in range(8):
        for function in range(DISK, CONFIG.functions):
            at = PAGE + 0x2000 * (2 * turn + function - DISK) + 0x800
            entry = submission_entry(
                Admin.IDENTIFY, turn + 1, prp1=at, prp2=(at | 0xFFF) + 1, dw10=Cns.CONTROLLER
            )
            model.ask(function, RequestKind.ADMIN, turn + 1, entry, STORAGE)
            asked.append((function, turn + 1, at))
        for function in range(DISK):
            model.ask(function, CommandKind.WHOLE, turn + 1, bytes([0, turn % 6, 1]), NET)
            asked.append((function, turn + 1, None))
        station = f"02:00:00:00:01:{turn:02x}"
        operator.add_route(5, station, VIA, (ip_address(f"10.0.1.{turn}"),))
    for function, tag, at in asked:
        assert model.answer(function, tag) == 0
        if at is not None:
            data = model.host_memory(at, 4096)
            assert Controller(data).cntlid == function - DISK
            assert not any(data[1024:])
    assert not model.answers
    assert len(operator.routes()) == 8


def test_a_reset_of_a_controller_leaves_control_queues_alone(model, operator):
    model.admin(DISK, 1, Admin.IDENTIFY, prp1=PAGE, dw10=Cns.CONTROLLER)
    with model._lock:
        entry = submission_entry(Admin.IDENTIFY, 2, prp1=PAGE, dw10=Cns.CONTROLLER)
        model.send(DISK, RequestKind.ADMIN, 2, entry, engine=STORAGE)
        model.reset(DISK)
        model.enable(DISK)
    assert model.control(0, 3, bytes([0, 1, 1])) == 0
    model.admin(DISK, 4, Admin.IDENTIFY, prp1=PAGE, dw10=Cns.CONTROLLER)
    assert operator.status()["functions"] == CONFIG.functions


def test_who_is_behind_a_tunnel_may_send(model, operator):
    """The table of peers is the model's; it has each far end once, for as long as it is one."""
    far = ["198.51.100.2", "198.51.100.6", "2001:db8::9", "198.51.100.7"]
    ours = tables()
    for n, remote in enumerate(far):
        ours.tunnel(ModelTunnel(remote, VIA.next_hop))
        tunnel = Tunnel(ip_address(remote), VIA.next_hop)
        operator.add_route(5, f"02:00:00:00:02:{n:02x}", tunnel)
    # Another way to one of them.
    operator.add_route(5, "02:00:00:00:02:10", Tunnel(ip_address(far[0]), VIA.next_hop, port=1))
    wanted = dict.fromkeys(range(2 * CONFIG.overlay.peers), 0) | written(ours, PEERS)
    assert peers(model) == wanted
    operator.remove_route(5, "02:00:00:00:02:00")
    assert peers(model) == wanted
    operator.remove_route(5, "02:00:00:00:02:10")
    operator.remove_route(5, "02:00:00:00:02:02")
    left = [word for word in peers(model).values() if word]
    assert sorted(left) == sorted(int(ip_address(remote)) for remote in (far[1], far[3]))


def test_a_full_set_of_peers(model, operator):
    """Sets are chosen by an address' low bits: two, here."""
    same = [ip_address(f"198.51.100.{4 * n}") for n in range(1, 7)]
    for n, remote in enumerate(same[:4]):
        operator.add_route(5, f"02:00:00:00:03:{n:02x}", Tunnel(remote, VIA.next_hop))
    before = peers(model)
    with pytest.raises(RequestError) as caught:
        operator.add_route(5, "02:00:00:00:03:10", Tunnel(same[4], VIA.next_hop))
    assert caught.value.status == Status.FULL
    assert peers(model) == before
    operator.remove_route(5, "02:00:00:00:03:01")
    operator.add_route(5, "02:00:00:00:03:10", Tunnel(same[5], VIA.next_hop))
    found = {word for word in peers(model).values() if word}
    assert found == {int(same[n]) for n in (0, 2, 3, 5)}
    # One IPv6 address has a set.
    six = [ip_address(f"2001:db8::{n:x}") for n in (4, 8)]
    operator.add_route(5, "02:00:00:00:03:20", Tunnel(six[0], VIA.next_hop))
    assert (
        refused(operator.add_route, 5, "02:00:00:00:03:21", Tunnel(six[1], VIA.next_hop))
        == Status.FULL
    )
