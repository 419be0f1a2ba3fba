"""niterctl end to end: click's runner, UDP on loopback, the firmware under sanitizers."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from firmware.boot.layout import FLASH
from firmware.build import DEVELOPMENT_KEY, sign
from niterctl.cli import main
from niterctl.protocol import Role
from tests.firmware.conftest import HOST

PORT = ("--mac", "02:00:00:00:00:01", "--vni", 5, "--ip", "10.0.0.1", "--ip", "2001:db8:1::1")
ROUTE = ("--vni", 5, "--mac", "02:00:00:00:00:02")
VIA = ("--via", "198.51.100.2", "--next-hop", "02-00-00-00-00-99", "--ip", "10.0.0.2")


def test_ports_and_routes_come_and_go(niterctl):
    assert niterctl("port", "add", 1, *PORT) == {"ok": True}
    (port,) = niterctl("port", "list")
    assert (port["function"], port["vni"], port["addresses"]) == (
        1,
        5,
        ["10.0.0.1", "2001:db8:1::1"],
    )
    niterctl("route", "add", *ROUTE, *VIA, "--geneve")
    local, remote = niterctl("route", "list")
    assert (local["mac"], local["tunnel"]) == ("02:00:00:00:00:01", None)
    assert (remote["addresses"], remote["tunnel"]["geneve"]) == (["10.0.0.2"], True)
    assert remote["tunnel"]["remote"] == "198.51.100.2"
    niterctl("route", "remove", *ROUTE)
    niterctl("port", "remove", 1)
    assert niterctl("route", "list") == niterctl("port", "list") == []


def test_what_the_card_refuses_ends_in_one_line(niterctl):
    assert "RANGE" in niterctl("port", "add", 7, *PORT, code=1, as_json=False)
    assert "MISSING" in niterctl("route", "remove", *ROUTE, code=1, as_json=False)
    assert "not a MAC" in niterctl(
        "route", "remove", "--vni", 5, "--mac", "x", code=2, as_json=False
    )
    assert "does not appear" in niterctl(
        "port", "add", 0, "--ip", "x", *PORT, code=2, as_json=False
    )


def test_people_get_tables(niterctl):
    niterctl("port", "add", 0, *PORT)
    assert "02:00:00:00:00:01" in niterctl("port", "list", as_json=False)
    assert "time_unknown" in niterctl("status", as_json=False)
    assert "session" in niterctl("log", as_json=False)
    assert "local" in niterctl("route", "list", as_json=False)


def test_an_image_is_written_to_the_other_slot(card, tmp_path, niterctl):
    file, none = tmp_path / "image", tmp_path / "none"
    image, _ = sign(bytes(100), tmp_path, key=DEVELOPMENT_KEY, version="0.2.0")
    file.write_bytes(image)
    assert niterctl("firmware", "update", "--no-reset", file) == {"ok": True}
    assert card.flash()[FLASH.slot_b :].startswith(image)
    file.write_bytes(image[:60] + b"x" + image[61:])
    refusal = niterctl("firmware", "update", "--no-reset", file, code=1, as_json=False)
    assert "refused the image: SIGNATURE" in refusal
    for content in (b"", bytes(100), image[:32]):
        none.write_bytes(content)
        assert "firmware image" in niterctl("firmware", "update", none, code=1, as_json=False)


def test_time_is_set(niterctl):
    assert niterctl("time") == {"time_ms": 0, "time": "unknown"}
    assert niterctl("time", "--set")["time_ms"] > 1_700_000_000_000
    assert "time_unknown" not in niterctl("status")["health"]


def test_counters_are_watched(card, niterctl):
    card.set_word("overlay.counters.counters", 0, 3)
    assert niterctl("counters")["transmit"] == {"function0_frames": 3}
    assert len(niterctl("counters", "--all")["receive"]) == 96
    watched = niterctl("counters", "--watch", "--every", 0.01, "--count", 2, as_json=False)
    assert watched.count("function0_frames") == 2


def test_a_policy_is_made_shown_and_written(tmp_path, niterctl, keys):
    new = CliRunner().invoke(main, ["--json", "key", "new", str(tmp_path / "k.pem")])
    public = json.loads(new.output)["public"]
    shown = CliRunner().invoke(main, ["key", "show", str(tmp_path / "k.pem")])
    assert shown.output.strip() == public
    assert (tmp_path / "k.pem").stat().st_mode & 0o77 == 0
    arguments = [
        "--name",
        "n",
        "--mac",
        "02:aa:00:00:00:02",
        "--ipv4",
        "192.0.2.9",
        "--owner",
        public,
    ]
    made = niterctl("policy", "create", tmp_path / "policy", *arguments)
    assert made["keys"] == {public: "owner"}
    niterctl("policy", "write", tmp_path / "policy")
    assert niterctl("policy", "show") == made
    assert "owner" in niterctl(
        "policy",
        "create",
        tmp_path / "x",
        *arguments[:-2],
        "--observer",
        public,
        code=1,
        as_json=False,
    )


def test_an_observer_may_look_and_not_touch(card, niterctl, keys):
    identity = niterctl("identity")["identity"]
    options = ["--card", HOST, "--port", str(card.port), "--key", str(keys[Role.OBSERVER])]
    options += ["--identity", identity, "--timeout", "0.02"]
    assert CliRunner().invoke(main, [*options, "status"]).exit_code == 0
    result = CliRunner().invoke(main, [*options, "time", "--set"])
    assert (result.exit_code, "No answer" in result.output) == (1, True)


@pytest.mark.parametrize("missing", ["--card", "--key", "--identity"])
def test_what_is_needed_is_asked_for(card, keys, missing):
    options = {"--card": HOST, "--key": str(keys[Role.OWNER]), "--identity": "00" * 32}
    del options[missing]
    result = CliRunner().invoke(main, [*(x for pair in options.items() for x in pair), "status"])
    assert (result.exit_code, missing in result.output) == (2, True)


def test_every_command_has_help():
    def walk(command, path):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0
        assert command.get_short_help_str(), path
        for name, child in getattr(command, "commands", {}).items():
            walk(child, [*path, name])

    walk(main, [])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell):
    result = CliRunner().invoke(main, ["completion", shell])
    assert "_NITERCTL_COMPLETE" in result.output


def test_it_is_a_program():
    code = "from niterctl.cli import main; main(prog_name='niterctl')"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "_NITERCTL_COMPLETE": "bash_complete",
            "COMP_WORDS": "niterctl po",
            "COMP_CWORD": "1",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert {"plain,port", "plain,policy"} <= set(result.stdout.split())


def test_attestation_from_factory_to_verdict(tmp_path, card, niterctl):
    card.stop()
    root_key, root, chain = (tmp_path / name for name in ("root.key", "root.pem", "chain"))
    offline = ["factory", "root", str(root_key), str(root)]
    assert CliRunner().invoke(main, offline).exit_code == 0
    device = card.enrol().hex()
    niterctl_offline = ["factory", "certify", device, str(chain), "--root", str(root)]
    made = CliRunner().invoke(main, [*niterctl_offline, "--root-key", str(root_key)])
    assert made.exit_code == 0, made.output
    card.write_flash(FLASH.chain, chain.read_bytes())
    card.start(certify=True)
    niterctl("time", "--set")
    out = tmp_path / "document"
    found = niterctl("attest", "--verify", "--root", root, "--user-data", "00ff", "--out", out)
    assert (found["name"], found["user_data"], found["device"]) == ("niter-test", "00ff", device)
    assert out.stat().st_size > 1500
    policy = niterctl("policy", "show")["measurement"]
    assert found["measurements"]["3"] == policy
    expect = tmp_path / "expect.json"
    expect.write_text(json.dumps({"2": found["measurements"]["2"]}))
    good = ["attest", "--verify", "--root", root, "--expect", expect, "--register", f"3={policy}"]
    assert "verified" in niterctl(*good, as_json=False)
    wrong = ["attest", "--verify", "--root", root, "--register", "2=00"]
    assert "Register 2" in niterctl(*wrong, code=1, as_json=False)
    assert "--root" in niterctl("attest", "--verify", code=2, as_json=False)
