"""Updates of a card of RTL: power fails in the middle of one, then ``niterctl`` does one.

Its new image has no certificate yet, so the certifier makes one. What becomes of each single flash
operation is a matter of ``tests/firmware/test_update.py``.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.boot.layout import FLASH
from firmware.build import DEVELOPMENT_KEY, sign
from niterctl.card import Card
from niterctl.client import Session, SilentError
from niterctl.protocol import Role, Slot
from sim.live.managed import CARD, managed_card
from sim.soc.identity import KEYS, check_certificate, check_document, identity
from sim.soc.rig import images

from .conftest import free_port, measured

pytestmark = pytest.mark.managed

NONCE = bytes(range(32))
#: Seconds for what takes two seconds of a card's time.
PATIENCE = 3600


def start(folder):
    """The card with what its flash holds."""
    return managed_card(folder, Path("build/live/models"), port=free_port())


def connect(managed):
    options = {"key": KEYS[Role.OWNER], "role": Role.OWNER, "timeout": 2, "retries": PATIENCE // 2}
    return Session("127.0.0.1", managed.gateway.port, card=identity(images(CARD)), **options)


def letters(managed):
    log = managed.card.log.read_text()
    return "".join(line.split()[-1] for line in log.splitlines() if "console:" in line)


def run(managed, key, *arguments, timeout=PATIENCE, check=True):
    """What ``niterctl`` says; None when it fails."""
    options = ("--card", "127.0.0.1", "--port", managed.gateway.port, "--key", key)
    options += ("--identity", identity(images(CARD)).hex(), "--timeout", timeout, "--json")
    command = [sys.executable, "-m", "niterctl", *options, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert not (check and done.returncode), done.stderr
    return None if done.returncode else json.loads(done.stdout)


def fails_in_an_update(managed, image):
    """The process ends while the slot is half written, and a piece is on its way."""
    with connect(managed) as session:
        pieces = Card(session).update(image)
        while next(pieces) < len(image) // 2:
            pass
        session._line._retries = 2
        Timer(0.5, managed.card.process.kill).start()
        with pytest.raises(SilentError):
            for _ in pieces:
                pass
    managed.card.process.wait()
    managed.close()


def test_power_fails_and_then_an_update_is_done(tmp_path):
    old = images(CARD)
    image, measure = sign(old.content, tmp_path, key=DEVELOPMENT_KEY, version="0.2.0")
    new = replace(old, image=image, measured=measure)
    fails_in_an_update(start(tmp_path), image)
    written = (tmp_path / "flash").read_bytes()[FLASH.slot_b :][: len(image)]
    assert written != image and written.count(0xFF) < len(image), "half of it stands there"

    managed = start(tmp_path)
    try:
        assert letters(managed) == "A"
        assert measured(managed.card.control, old) == old.measurements()
        key, file = tmp_path / "owner.pem", tmp_path / "new.img"
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        key.write_bytes(KEYS[Role.OWNER].private_bytes(*form))
        file.write_bytes(image)
        niterctl = partial(run, managed, key)
        begin = managed.card.control.status()["cycles"]
        before = niterctl("identity", timeout=5)
        niterctl("firmware", "update", file, "--no-reset")
        niterctl("reset")
        end = time.monotonic() + PATIENCE
        while niterctl("identity", timeout=5, check=False) in (None, before):
            assert time.monotonic() < end, "the card has not come back"
        # Whoever serves this is kept.
        status = niterctl("status")
        assert (status["version"], status["slot"]) == ("0.2.0", "b")
        print(f"updated within {managed.card.control.status()['cycles'] - begin} cycles")
        assert letters(managed) == "ACB"
        assert measured(managed.card.control, new) == new.measurements()
        with connect(managed) as session:
            card = Card(session)
            card.set_time(time.time_ns() // 1_000_000)
            events = [(entry["event"], entry["argument"]) for entry in card.log()]
            assert ("boot", Slot.B) in events and ("confirmed", Slot.B) in events
            check_document(new, card.attest(NONCE, b"new"), nonce=NONCE, user_data=b"new")
        flash = (tmp_path / "flash").read_bytes()
        check_certificate(new, flash[FLASH.certificate :][:4096])
    finally:
        managed.close()
