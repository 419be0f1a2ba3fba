"""Updates and fallbacks with the images of a card, on the model of the core.

What is started is what the boot code chooses, and what it is called is what the card itself logs
and signs.
"""

import json
import struct
import time

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.boot.layout import FLASH
from firmware.build import DEVELOPMENT_KEY, extend, sign
from niter.card import Card as CardRoom
from niter.soc.config import CSR_BASE
from niterctl.attestation import verify
from niterctl.card import Card
from niterctl.cli import main
from niterctl.client import Session, SilentError
from niterctl.protocol import Role, Slot, Verdict
from sim.soc.identity import KEYS, ROOT, certified, identity
from sim.soc.rig import CONFIG, images
from tests.firmware.machine import CUT, Machine

STATE = FLASH.slot_bytes - 8
NONCE = bytes(range(32))


def connect(card, timeout=2.0, retries=20):
    options = {"key": KEYS[Role.OWNER], "role": Role.OWNER, "card": identity(images())}
    return Session("127.0.0.1", card.port, timeout=timeout, retries=retries, **options)


@pytest.fixture
def make(tmp_path):
    def image(version, content=None, *, key=DEVELOPMENT_KEY, counter=1):
        content = images().content if content is None else content
        return sign(content, tmp_path / key.stem, key=key, counter=counter, version=version)

    return image


@pytest.fixture
def niterctl(tmp_path):
    key = tmp_path / "owner.pem"
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    key.write_bytes(KEYS[Role.OWNER].private_bytes(*form))

    def run(card, *arguments):
        options = ["--card", "127.0.0.1", "--port", str(card.port), "--key", str(key), "--json"]
        options += ["--identity", identity(images()).hex(), "--timeout", "2"]
        return CliRunner().invoke(main, [*options, *map(str, arguments)])

    return run


def crash():
    """A program that resets the SoC at once: li t0, FEED; sw zero, 0(t0); j ."""
    resources = {
        ".".join(info.path): info for info in CardRoom(CONFIG).csr.memory_map.all_resources()
    }
    place = CSR_BASE + 4 * resources["soc.watchdog.feed"].start
    high, low = (place + 0x800) >> 12 << 12 & 0xFFFFFFFF, place & 0xFFF
    store = 0x23 | 2 << 12 | 5 << 15 | (low & 0x1F) << 7 | low >> 5 << 25
    return struct.pack("<III", high | 0x2B7, store, 0x6F)


def events(card):
    with connect(card) as session:
        return [(entry["event"], entry["argument"]) for entry in Card(session).log()]


def test_niterctl_updates_the_firmware_and_falls_back(tmp_path, make, niterctl):
    good, bad = tmp_path / "good.img", tmp_path / "bad.img"
    good.write_bytes(make("0.2.0")[0])
    bad.write_bytes(make("0.3.0", crash())[0])
    with Machine(tmp_path, certified(images())) as card:
        result = niterctl(card, "firmware", "update", good)
        assert result.exit_code == 0, result.output
        assert json.loads(result.output) == {"version": "0.2.0", "slot": "b"}
        assert card.letters() == "ACB"
        found = events(card)
        assert ("boot", Slot.B) in found and ("confirmed", Slot.B) in found
        # It fails three times, and then the card is what it was.
        result = niterctl(card, "firmware", "update", bad)
        assert result.exit_code == 1
        assert "The card runs 0.2.0 and not 0.3.0" in result.output
        assert card.letters() == "ACBCAAACB"
        found = events(card)
        assert ("boot", Slot.B) in found
        assert ("passed_over", Slot.A << 8 | Verdict.FAILED) in found


def foreign(folder):
    path = folder / "foreign.pem"
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    path.write_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(*form))
    return path


def zeros(count):
    """The page of the security counter."""
    return ((1 << 2048) - 1 >> count << count).to_bytes(256, "little")


@pytest.mark.parametrize("case", ["signature", "rollback", "corrupt", "failed"])
def test_each_way_of_falling_back_is_logged_and_measured(tmp_path, make, case):
    """Slot B, which is newer, cannot be started: A is. Without A, the golden image."""
    newer, _ = make("0.9.0")
    pieces = {FLASH.slot_b: newer}
    counter, verdict = 1, Verdict.SIGNATURE
    if case == "signature":
        pieces[FLASH.slot_b] = make("0.9.0", key=foreign(tmp_path))[0]
    elif case == "rollback":
        counter, verdict = 2, Verdict.ROLLBACK
        pieces[FLASH.counter] = zeros(2)
    elif case == "corrupt":
        at = len(newer) // 2
        pieces[FLASH.slot_b] = newer[:at] + bytes([newer[at] ^ 4]) + newer[at + 1 :]
    else:
        pieces[FLASH.slot_b + STATE] = struct.pack("<I", 0xFFFFFFF8)
        verdict = Verdict.FAILED
    old, measured = make("0.1.5", counter=counter)
    golden, golden_measured = make("0.0.1", counter=0)
    pieces |= {FLASH.slot_a: old, FLASH.golden: golden}
    without = dict(pieces) | {FLASH.slot_a: bytes(64)}
    for flash, slot, digest, passed in (
        (pieces, Slot.A, measured, [(Slot.B, verdict)]),
        (without, Slot.GOLDEN, golden_measured, [(Slot.A, Verdict.ABSENT), (Slot.B, verdict)]),
    ):
        folder = tmp_path / slot.name
        folder.mkdir()
        with Machine(folder, flash) as card, connect(card) as session:
            ours = Card(session)
            ours.set_time(time.time_ns() // 1_000_000)
            document = ours.attest(NONCE)
            log = ours.log()
        found = [(entry["event"], entry["argument"]) for entry in log]
        assert ("boot", slot) in found
        told = [argument for event, argument in found if event == "passed_over"]
        assert told == [place << 8 | why for place, why in passed]
        assert verify(document, ROOT, nonce=NONCE).measurements[2] == extend(digest)


@pytest.mark.parametrize("operation", [3, 4, 5, 30, 200, -1])
def test_power_fails_during_an_update(tmp_path, make, operation):
    """The first operations, some in the middle and the last one: the old image is started."""
    image = make("0.2.0")[0]
    sectors, pages = -(-len(image) // 4096), -(-len(image) // 256)
    # An attempt, confirmation and counter come first; then the slot's last sector is one more.
    last = 3 + sectors + 1 + pages + 1
    cut = last if operation < 0 else operation
    with Machine(tmp_path, certified(images()), cut=cut) as card:
        with pytest.raises(SilentError), connect(card, timeout=1.0, retries=1) as session:
            for _ in Card(session).update(image):
                pass
        assert card.ended == CUT
    with Machine(tmp_path, None) as card, connect(card) as session:
        assert Card(session).status()["version"] == "0.1.0"
        # And it can be done again.
        if operation < 0:
            for _ in Card(session).update(image):
                pass
            Card(session).reset()
    if operation < 0:
        with Machine(tmp_path, None) as card, connect(card) as session:
            assert Card(session).status()["version"] == "0.2.0"
