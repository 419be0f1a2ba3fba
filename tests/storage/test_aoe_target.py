"""The target model against vblade, which is not ours: the same frames, the same answers."""

import random

import pytest

from sim.models.aoe import SECTOR, AoeTarget, config_query, reserve
from tests.storage.vblade import SHELF, SLOT, TARGET, US, blade

SIZE = 256


@pytest.fixture
def vblade(tmp_path):
    """Its disk, and a function that asks it frames."""
    disk = tmp_path / "disk"
    disk.write_bytes(random.Random(1).randbytes(SIZE * SECTOR))
    with blade(disk) as running:
        yield disk, running.ask


def frame(tag, command, argument, *, to=TARGET, shelf=SHELF, slot=SLOT):
    """A frame of the initiator's, written out by hand."""
    header = bytes.fromhex((to + US).replace(":", "")) + b"\x88\xa2\x10\0"
    place = shelf.to_bytes(2, "big") + bytes([slot, command]) + tag.to_bytes(4, "big")
    return (header + place + argument).ljust(60, b"\0")


def ata(command, lba, sectors, data=b""):
    flags = 0x41 if command == 0x34 else 0x40 if command == 0x24 else 0
    head = bytes([flags, 0, sectors, command]) + lba.to_bytes(6, "little") + bytes(2)
    return head + data


def test_the_model_answers_as_vblade_does(vblade):
    disk, ask = vblade
    model = AoeTarget(SHELF, SLOT, TARGET, bytearray(disk.read_bytes()))
    rand = random.Random(2)
    asked = [
        (1, config_query(), {}),
        (1, config_query(), {"to": "ff:ff:ff:ff:ff:ff", "shelf": 0xFFFF, "slot": 0xFF}),
        (0, ata(0xEC, 0, 1), {}),
        (0, ata(0xE7, 0, 0), {}),
        (0, ata(0x24, 0, 1), {}),
        (0, ata(0x24, SIZE - 2, 2), {}),
        (0, ata(0x24, SIZE - 1, 2), {}),
        (0, ata(0x24, 4, 3), {}),
        (0, ata(0x34, SIZE, 1, bytes(SECTOR)), {}),
        (0, ata(0x34, 4, 2, bytes(SECTOR)), {}),
        (0, ata(0x77, 0, 0), {}),
        (9, bytes(8), {}),
        (1, config_query(), {"shelf": 8}),
    ]
    for _ in range(40):
        lba, sectors = rand.randrange(SIZE - 2), rand.randint(1, 2)
        asked += [
            (0, ata(0x34, lba, sectors, rand.randbytes(sectors * SECTOR)), {}),
            (0, ata(0x24, rand.randrange(SIZE - 2), 2), {}),
        ]
    asked += [
        (3, reserve("02:00:00:00:00:99"), {}),
        (0, ata(0x24, 4, 1), {}),
        (3, reserve(US), {}),
        (3, reserve(US, force=True), {}),
        (0, ata(0x24, 4, 1), {}),
    ]
    for tag, (command, argument, place) in enumerate(asked, 1):
        sent = frame(tag, command, argument, **place)
        theirs, ours = ask(sent), model.answer(sent) or b""
        what = (tag, command, argument[:12].hex(), place)
        assert bool(theirs) == bool(ours), what
        if not theirs:
            continue
        assert theirs[:14] == ours[:14], what
        # Version, flags and error; place, command and tag.
        assert theirs[14:24] == ours[14:24], what
        if theirs[14] & 0x4 or command == 9:
            continue
        if command == 1:
            assert theirs[24:26] == ours[24:26] and theirs[28:30] == ours[28:30], what
        elif command == 3:
            assert theirs[24:32] == ours[24:32], what
        else:
            # The bits of the status that tell success, and the data.
            assert bool(theirs[27] & 0xA9) == bool(ours[27] & 0xA9), what
            if argument[3] == 0x24 and not theirs[27] & 0xA9:
                assert theirs[36:] == ours[36:], what
            if argument[3] == 0xEC:
                assert theirs[36:][120:124] == ours[36:][120:124]
                assert theirs[36:][200:208] == ours[36:][200:208]
    assert disk.read_bytes() == bytes(model.disk)
