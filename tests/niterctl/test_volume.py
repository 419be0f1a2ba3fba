"""``niterctl volume`` against the firmware of a storage card."""

import pytest

from firmware.host.process import HostCard
from tests.firmware.conftest import POLICY
from tests.firmware.test_both import CONFIG as BOTH
from tests.firmware.test_volumes import CONFIG

PLACE = ("--target", "02-bb-00-00-00-a0", "--shelf", 7, "--slot", 3, "--sectors", 4096)


@pytest.fixture
def card(tmp_path, request):
    config = getattr(request, "param", CONFIG)
    with HostCard(tmp_path, POLICY, config=config) as running:
        yield running


def test_volumes_come_and_go(niterctl):
    assert niterctl("volume", "attach", 1, "--function", 0, *PLACE) == {"ok": True}
    niterctl("volume", "tunnel", "--vni", 7, "--via", "198.51.100.2", "--next-hop", PLACE[1])
    behind = (*PLACE, "--wire", 1, "--nsid", 2, "--block", 4096, "--read-only")
    niterctl("volume", "attach", 2, "--function", 1, *behind, "--iops", 1000)
    first, second = niterctl("volume", "list")
    assert (first["number"], first["nsid"], first["length"]) == (1, 1, 4096)
    assert first["target"]["mac"] == "02:bb:00:00:00:a0"
    assert (second["target"]["port"], second["block_bytes"], second["iops"]) == (1, 4096, 1000)
    assert second["read_only"] and not first["read_only"]
    table = niterctl("volume", "list", as_json=False)
    assert "7.3 at 02:bb:00:00:00:a0" in table and "read-only" in table
    niterctl("volume", "detach", 1)
    assert [volume["number"] for volume in niterctl("volume", "list")] == [2]


def test_what_is_refused_ends_in_one_line(niterctl):
    refused = niterctl("volume", "attach", 9, "--function", 0, *PLACE, code=1, as_json=False)
    assert "RANGE" in refused
    assert "MISSING" in niterctl("volume", "detach", 0, code=1, as_json=False)
    six = ("--vni", 7, "--via", "2001:db8::1", "--next-hop", PLACE[1])
    assert "IPv4" in niterctl("volume", "tunnel", *six, code=2, as_json=False)
    assert "UNSUPPORTED" in niterctl("port", "list", code=1, as_json=False)


@pytest.mark.parametrize("card", [BOTH], indirect=True)
def test_volumes_of_a_card_with_both_halves_may_be_encrypted(niterctl, tmp_path):
    keys = tmp_path / "keys"
    keys.write_bytes(bytes(range(64)))
    niterctl("port", "add", 0, "--mac", "02:00:00:00:00:01", "--vni", 5)
    niterctl("volume", "attach", 1, "--function", 2, *PLACE, "--encrypt", keys)
    (volume,) = niterctl("volume", "list")
    assert volume["encrypted"]
    assert "encrypted" in niterctl("volume", "list", as_json=False)
    keys.write_bytes(bytes(63))
    wrong = ("volume", "attach", 2, "--function", 3, *PLACE, "--encrypt", keys)
    assert "64 bytes, not 63" in niterctl(*wrong, code=2, as_json=False)
