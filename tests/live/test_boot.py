"""What a card of RTL starts when it cannot start what stands first.

The boot code is the real one; short programs stand in the firmware's place. What was started is
told by its letter on the console and by the measurement registers, against ``hashlib``.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.boot.layout import FLASH
from firmware.build import DEVELOPMENT_KEY, build, sign
from sim.live.managed import CARD, managed_card
from sim.soc.identity import certified, provisioned
from sim.soc.rig import flash_content, images

from .conftest import free_port, measured

pytestmark = pytest.mark.managed

_HERE = Path(__file__).parent


def program(name):
    """Images with a short program in the firmware's place; the boot code is the card's."""
    made = build(CARD, folder=Path("build/firmware/bench") / name, main=_HERE / f"{name}.c")
    assert made.rom == images(CARD).rom
    return made


def boot(folder, found, **slots):
    """Letters that the card says until it releases its functions; its registers are right then."""
    counter = ((1 << 2048) - 1 >> 1 << 1).to_bytes(256, "little")
    flash = flash_content(found, **slots) | provisioned() | certified(found)
    flash[FLASH.counter] = counter
    card = managed_card(folder, Path("build/live/models"), port=free_port(), flash=flash)
    try:
        assert measured(card.card.control, found) == found.measurements()
        log = card.card.log.read_text()
        return "".join(line.split()[-1] for line in log.splitlines() if "console:" in line)
    finally:
        card.close()


def foreign(folder):
    path = folder / "foreign.pem"
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    path.write_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(*form))
    return path


def test_the_golden_image_when_a_has_a_wrong_signature_and_b_a_low_counter(tmp_path):
    found = program("opens")
    wrong, _ = sign(found.content, tmp_path / "a", key=foreign(tmp_path), version="0.3.0")
    old, _ = sign(found.content, tmp_path / "b", key=DEVELOPMENT_KEY, counter=0, version="0.2.0")
    assert boot(tmp_path, found, a=wrong, b=old, golden=found.image) == "G"


def test_b_when_a_is_corrupt(tmp_path):
    found = program("opens")
    newer, _ = sign(found.content, tmp_path / "a", key=DEVELOPMENT_KEY, version="0.3.0")
    corrupt = newer[:100] + bytes([newer[100] ^ 1]) + newer[101:]
    assert boot(tmp_path, found, a=corrupt, b=found.image) == "B"
