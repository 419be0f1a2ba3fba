"""A storage card of RTL whose own processor serves it: found, opened and given a volume by the
unmodified client over its one wire."""

from pathlib import Path

import pytest

from niterctl.card import Target, Volume
from sim.live.config import load
from sim.soc.identity import POLICY

from .conftest import check_boot, owner, served

pytestmark = pytest.mark.managed

CARD = load(Path(__file__).parents[2] / "sim/live/managed_storage.toml").card
TARGET = Target("02:bb:00:00:00:a0", 7, 3)
VOLUME = Volume(1, 0, 1, TARGET, first=100, length=4096)


@pytest.fixture(scope="module")
def managed(tmp_path_factory):
    with served(tmp_path_factory.mktemp("card"), CARD) as running:
        yield running


@pytest.fixture(scope="module")
def card(managed):
    with owner(managed, CARD) as client:
        yield client


def test_it_boots_what_its_flash_holds(managed):
    check_boot(managed, CARD)


def test_who_knows_its_address_finds_it(card):
    status = card.status()
    assert (status["name"], status["functions"], status["ports"]) == (POLICY.name, 1, 1)


def test_a_volume_is_attached_and_detached(card):
    card.attach_volume(VOLUME)
    assert card.volumes() == [VOLUME]
    card.detach_volume(VOLUME.number)
    assert not card.volumes()
