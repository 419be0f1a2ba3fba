"""Updates of the firmware, on a host: what the loader makes of the flash afterwards.

The client is the real one, and so is the loader's choice (``boot_host``), which both run on this
machine. Power fails in the middle of each flash operation of an update in turn.
"""

import hashlib
import struct
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.boot.layout import FLASH
from firmware.build import DEVELOPMENT_KEY, public_key, sign
from firmware.host.process import CUT, HostCard
from niterctl.card import Card, UpdateError
from niterctl.client import RequestError, SilentError
from niterctl.protocol import CHUNK, Command, Role, Slot, Status, Verdict
from tests.firmware.boot_host import Host

from .conftest import POLICY, open_session

#: Long enough for a second sector, which is erased on the way.
OLD, NEW = bytes(700), bytes(range(256)) * 16
STATE = FLASH.slot_bytes - 8


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    key = folder / "other.pem"
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    key.write_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)).private_bytes(*form))

    def make(content, *, key=DEVELOPMENT_KEY, counter=1, version="0.2.0"):
        name = hashlib.sha256(content).hexdigest()[:8] + key.stem
        return sign(content, folder / name, key=key, counter=counter, version=version)[0]

    return {
        "old": make(OLD, version="0.1.0"),
        "new": make(NEW),
        "foreign": make(NEW, key=key),
        "rollback": make(NEW, counter=0),
        "not newer": make(NEW, version="0.1.0"),
    }


def running(folder, images, **slots):
    """A card that runs the old image from slot A, or what is given."""
    folder.mkdir(exist_ok=True)
    card = HostCard(folder, POLICY)
    for name, image in ({"slot_a": images["old"]} | slots).items():
        card.write_flash(getattr(FLASH, name), image)
    return card


def update(card, image, **options):
    with open_session(card, **options) as session:
        for _ in Card(session).update(image):
            pass


def pieces(flash):
    """What of a flash is not erased, in short pieces."""
    found = {}
    for at in range(FLASH.golden, FLASH.counter + 4096, 512):
        piece = flash[at : at + 512]
        if piece.strip(b"\xff"):
            found[at] = piece
    return found


def chosen(*flashes):
    """What the loader would start of each."""
    return Host(public_key(DEVELOPMENT_KEY)).choose([pieces(flash) for flash in flashes])


def counter(flash):
    """The zero bits of the page that holds the security counter."""
    return sum(8 - byte.bit_count() for byte in flash[FLASH.counter : FLASH.counter + 256])


def test_an_update_is_started_at_the_next_boot(tmp_path, images):
    card = running(tmp_path, images)
    with card:
        update(card, images["new"])
        with open_session(card) as session:
            log = Card(session).log()
            assert Card(session).status()["slot"] == "a"
    flash = card.flash()
    assert flash[FLASH.slot_b :].startswith(images["new"])
    assert flash[FLASH.slot_a :].startswith(images["old"])
    (found,) = chosen(flash)
    assert (found["slot"], found["version"]) == (Slot.B, 2 << 16)
    events = [(entry["event"], entry["argument"]) for entry in log]
    assert events[:2] == [("start", 0), ("boot", Slot.A)]
    assert ("update", Slot.B << 8 | Verdict.STARTED) in events


def test_what_serves_is_kept_and_the_counter_follows_it(tmp_path, images):
    card = running(tmp_path, images)
    state = FLASH.slot_a + STATE
    with card, open_session(card) as session:
        assert counter(card.flash()) == 0 and card.flash()[state + 4 : state + 8] == b"\xff" * 4
        for _ in range(100):
            events = [entry["event"] for entry in Card(session).log()]
            if "confirmed" in events:
                break
            time.sleep(0.02)
    assert events.count("confirmed") == 1
    assert counter(card.flash()) == 1 and card.flash()[state + 4 : state + 8] == bytes(4)


@pytest.mark.parametrize("slot", [Slot.B, Slot.GOLDEN])
def test_the_slot_that_does_not_run_is_written(tmp_path, images, slot):
    card = HostCard(tmp_path, POLICY, slot=int(slot))
    card.write_flash(FLASH.golden, images["old"])
    card.write_flash(FLASH.slot_b, images["old"])
    with card:
        update(card, images["new"])
    flash = card.flash()
    assert flash[FLASH.slot_a :].startswith(images["new"])
    assert flash[FLASH.slot_b :].startswith(images["old"])
    assert chosen(flash)[0]["slot"] == Slot.A


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("foreign", Verdict.SIGNATURE), ("rollback", Verdict.ROLLBACK)],
)
def test_what_the_loader_would_refuse_is_refused(tmp_path, images, name, verdict):
    card = running(tmp_path, images, slot_b=images["old"])
    with card:
        with pytest.raises(UpdateError) as refusal:
            update(card, images[name])
        with open_session(card) as session:
            log = Card(session).log()
    assert refusal.value.verdict == verdict
    assert ("update", Slot.B << 8 | verdict) in [(e["event"], e["argument"]) for e in log]
    (found,) = chosen(card.flash())
    assert (found["slot"], found["verdicts"][1]) == (Slot.A, "not tried")
    # Its header never came into flash.
    assert card.flash()[FLASH.slot_b : FLASH.slot_b + 32] == b"\xff" * 32


def test_an_image_that_is_not_newer_is_refused(tmp_path, images):
    card = running(tmp_path, images)
    with card, pytest.raises(RequestError) as refusal:
        update(card, images["not newer"])
    assert refusal.value.status == Status.STATE
    assert chosen(card.flash())[0]["slot"] == Slot.A


def test_a_changed_image_is_refused(tmp_path, images):
    with running(tmp_path, images) as card:
        for at in (33, 40, len(images["new"]) // 2, len(images["new"]) - 10):
            changed = bytearray(images["new"])
            changed[at] ^= 1
            with pytest.raises(UpdateError):
                update(card, bytes(changed))


def test_pieces_come_in_order_and_by_their_owner(tmp_path, images):
    image = images["new"]
    longest = FLASH.slot_bytes - 4096

    def refused(session, command, *arguments):
        with pytest.raises(RequestError) as refusal:
            session.request(command, *arguments)
        return refusal.value.status

    card = running(tmp_path, images)
    with card:
        with open_session(card) as session:
            assert refused(session, Command.UPDATE_WRITE, 0, image[:CHUNK]) == Status.STATE
            assert refused(session, Command.UPDATE_END) == Status.STATE
            for length in (0, 32, longest + 1, 2**32 - 1):
                assert refused(session, Command.UPDATE_BEGIN, length) == Status.RANGE
            assert session.request(Command.UPDATE_BEGIN, len(image)) == Slot.B
            assert refused(session, Command.UPDATE_WRITE, 1, image[:9]) == Status.RANGE
            assert refused(session, Command.UPDATE_WRITE, 0, b"") == Status.RANGE
            session.request(Command.UPDATE_WRITE, 0, image[:17])
            session.request(Command.UPDATE_WRITE, 17, image[17:40])
            assert refused(session, Command.UPDATE_WRITE, 0, image[:17]) == Status.RANGE
            assert refused(session, Command.UPDATE_END) == Status.STATE
            # From the beginning, in pieces of another size.
            session.request(Command.UPDATE_BEGIN, len(image))
            for at in range(0, len(image), 1000):
                session.request(Command.UPDATE_WRITE, at, image[at : at + 1000])
            assert refused(session, Command.UPDATE_WRITE, len(image), b"x") == Status.RANGE
            assert session.request(Command.UPDATE_END) == Verdict.STARTED
            assert refused(session, Command.UPDATE_END) == Status.STATE
        with open_session(card, Role.OPERATOR) as session:
            for command, arguments in (
                (Command.UPDATE_BEGIN, [100]),
                (Command.UPDATE_WRITE, [0, b"x"]),
                (Command.UPDATE_END, []),
            ):
                assert refused(session, command, *arguments) == Status.FORBIDDEN
    assert chosen(card.flash())[0]["slot"] == Slot.B


def test_power_may_fail_at_every_step_of_an_update(tmp_path, images):
    """Whatever was going on, the old image or the new one is started, and can be updated."""
    flashes, last = [], 0
    for operation in range(1, 100):
        card = running(tmp_path / str(operation), images)
        card.start(cut=operation)
        try:
            update(card, images["new"], timeout=0.2, retries=4)
            card.stop()
            last = operation
            break
        except SilentError:
            assert card.wait() == CUT
        card.stop()
        flashes.append(card.flash())
    # Confirmation and counter, two sectors and a third on the way, pages, header.
    pages = (len(images["new"]) + 255) // 256
    assert last == 2 + 3 + pages + 1 + 1
    flashes.append(card.flash())
    found = chosen(*flashes)
    assert [each["slot"] for each in found] == [Slot.A] * (last - 1) + [Slot.B]
    versions = {1 << 16, 2 << 16}
    assert {each["version"] for each in found} == versions
    for number in (1, last // 2, last - 1):
        again = HostCard(tmp_path / str(number))
        with again:
            update(again, images["new"])
        assert chosen(again.flash())[0]["slot"] == Slot.B


def test_a_slot_that_was_confirmed_before_begins_anew(tmp_path, images):
    """Attempts and confirmation of the image that is replaced do not count for the new one."""
    worn = struct.pack("<II", 0xFFFFFFF8, 0)
    card = running(tmp_path, images, slot_b=images["old"])
    card.write_flash(FLASH.slot_b + STATE, worn)
    with card:
        update(card, images["new"])
    assert card.flash()[FLASH.slot_b + STATE : FLASH.slot_b + STATE + 8] == b"\xff" * 8
