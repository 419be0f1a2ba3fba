"""A storage card of RTL whose own processor serves it: found, opened and given a volume by the
unmodified client over its one wire."""

from pathlib import Path

import pytest

from niterctl.card import Card, Target, Volume
from niterctl.client import Session
from niterctl.protocol import Role
from sim.live.config import load
from sim.live.managed import managed_card
from sim.soc.identity import KEYS, POLICY, identity
from sim.soc.rig import images

from .conftest import free_port, measured

pytestmark = pytest.mark.managed

CARD = load(Path(__file__).parents[2] / "sim/live/managed_storage.toml").card
TARGET = Target("02:bb:00:00:00:a0", 7, 3)
VOLUME = Volume(1, 0, 1, TARGET, first=100, length=4096)
#: Times two seconds that are waited for an answer.
PATIENCE = 600


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    running = managed_card(folder, Path("build/live/models"), port=free_port(), config=CARD)
    try:
        print(f"released within {running.boot_cycles} cycles")
        yield running
        assert not running.card.control.status()["violations"]
    finally:
        running.close()


@pytest.fixture(scope="module")
def card(managed):
    """The gateway knows no more than the card's IPv4 address: it has asked for the other."""
    options = {"key": KEYS[Role.OWNER], "role": Role.OWNER, "timeout": 2, "retries": PATIENCE}
    found = identity(images(CARD))
    with Session("127.0.0.1", managed.gateway.port, card=found, **options) as session:
        yield Card(session)


def test_it_boots_what_its_flash_holds(managed):
    found = images(CARD)
    assert "console: A" in managed.card.log.read_text()
    assert measured(managed.card.control, found) == found.measurements()
    assert managed.boot_cycles <= 10_000_000


def test_who_knows_its_address_finds_it(card):
    status = card.status()
    assert (status["name"], status["functions"], status["ports"]) == (POLICY.name, 1, 1)


def test_a_volume_is_attached_and_detached(card):
    card.attach_volume(VOLUME)
    assert card.volumes() == [VOLUME]
    card.detach_volume(VOLUME.number)
    assert not card.volumes()
