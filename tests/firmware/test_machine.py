"""The images that go into a card, from the boot ROM on, under the real client.

The core is a model (``machine.c``), and so are flash, hash and packet port; what runs is what
``make firmware`` builds. The keys are derived a second time by ``sim.soc.identity``.
"""

import time
from ipaddress import IPv4Address

import pytest

from firmware.boot.layout import FLASH, Memory
from firmware.build import JOB_STACK
from niter.card import Card as CardRoom
from niterctl.card import Card, Tunnel
from niterctl.client import Session
from niterctl.protocol import Role
from sim.soc.identity import (
    KEYS,
    POLICY,
    certified,
    check_certificate,
    check_document,
    identity,
)
from sim.soc.rig import CONFIG, images
from tests.firmware.machine import Machine

NONCE = bytes(range(32))
#: Cycles of a millisecond, in which the job has to give way once.
SLICE = 62_500
GUEST, STATION, VNI = "02:00:00:00:00:01", "02:00:00:00:00:02", 0x123456


def connect(card):
    return Session(
        "127.0.0.1",
        card.port,
        key=KEYS[Role.OWNER],
        card=identity(images()),
        role=Role.OWNER,
        timeout=5.0,
    )


@pytest.fixture
def card(tmp_path):
    with Machine(tmp_path, certified(images())) as running:
        yield running


def test_the_card_is_opened_by_its_client(card):
    with connect(card) as session:
        ours = Card(session)
        status = ours.status()
        assert (status["name"], status["functions"], status["ports"]) == (POLICY.name, 1, 1)
        assert status["health"] == ["time_unknown", "random_predictable"]
        assert 0 < status["job_stack_bytes"] < JOB_STACK
        ours.add_port(0, GUEST, VNI, (IPv4Address("192.0.2.1"),))
        tunnel = Tunnel(IPv4Address("198.51.100.2"), "02:bb:00:00:00:02")
        ours.add_route(VNI, STATION, tunnel, (IPv4Address("192.0.2.2"),))
        assert [(port["mac"], port["vni"]) for port in ours.ports()] == [(GUEST, VNI)]
        assert {route.mac for route in ours.routes()} == {GUEST, STATION}
        events = [entry["event"] for entry in ours.log()]
        assert events[:3] == ["start", "boot", "session"]
        assert sorted(events[3:]) == ["confirmed", "port"]
    assert card.letters() == "A"
    assert card.words(CardRoom(CONFIG).csr.memory_map, "card.release", 0, 1) == [1]


def test_an_image_is_confirmed_once_a_client_was_served(card):
    state = FLASH.slot_a + FLASH.slot_bytes - 8
    with connect(card) as session:
        assert card.flash(state, 8) == b"\xfe\xff\xff\xff" + b"\xff" * 4
        Card(session).status()
        Card(session).status()
    assert card.flash(state, 8) == b"\xfe\xff\xff\xff" + bytes(4)


def test_a_document_is_believed(card):
    with connect(card) as session:
        ours = Card(session)
        ours.set_time(time.time_ns() // 1_000_000)
        document = ours.attest(NONCE, b"hello")
        slices = ours.status()["longest_slice_cycles"]
        stack = ours.status()["job_stack_bytes"]
    check_document(card.images, document, nonce=NONCE, user_data=b"hello")
    # Of nothing else the job's stack is as deep; some of it stays free for what was not met here.
    assert stack <= JOB_STACK - 256
    # The main stack: first the boot code's.
    boot, *firmware = card.numbers("stack")
    assert boot <= Memory.STACK - 256 and max(firmware) <= Memory.FIRMWARE_STACK - 256
    assert slices < SLICE, slices
    assert max(card.numbers("answered")) <= 80_000_000


def test_functions_are_released_soon(card):
    with connect(card):
        (cycles,) = card.numbers("released")
        assert cycles <= 10_000_000


def test_one_session_updates_the_tables_a_hundred_times_a_second(card):
    """With most of the mapping table taken: 380 stations of four networks, with an address each."""
    with connect(card) as session:
        ours = Card(session)
        ours.status()
        for n in range(380):
            tunnel = Tunnel(IPv4Address(f"198.51.100.{2 + n % 12}"), "02:bb:00:00:00:02")
            address = IPv4Address(f"10.0.{n // 250}.{n % 250}")
            ours.add_route(
                VNI + n // 100, f"02:00:00:00:{n >> 8:02x}:{n & 255:02x}", tunnel, (address,)
            )
        last = card.numbers("answered")[-50:]
        slices = ours.status()["longest_slice_cycles"]
    assert slices < SLICE, slices
    assert sum(last) / len(last) <= 62_500_000 / 100


def test_the_certificate_is_made_once(tmp_path):
    with Machine(tmp_path) as card, connect(card) as session:
        assert Card(session).status()["health"] == ["time_unknown", "random_predictable"]
        assert card.letters() == "CA"
        check_certificate(card.images, card.flash(FLASH.certificate, 4096))


def test_a_reset_restarts_the_soc(card):
    with connect(card) as session:
        Card(session).reset()
        before = session.boot
    with connect(card) as session:
        assert session.boot != before
        log = Card(session).log()
    assert (log[0]["event"], log[0]["argument"]) == ("start", 1)
    assert card.letters() == "AA"


@pytest.mark.parametrize("part", ["loader", "certifier"])
def test_a_damaged_copy_is_passed_over(tmp_path, part):
    first = getattr(images(), part)
    place = getattr(FLASH, part)
    damaged = {place: first[:100] + bytes([first[100] ^ 1]) + first[101:]}
    with Machine(tmp_path, damaged) as card, connect(card) as session:
        assert Card(session).status()["health"] == ["time_unknown", "random_predictable"]
