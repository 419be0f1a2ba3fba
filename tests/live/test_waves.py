"""Waves of a window of cycles, by the command that users have."""

import struct
import subprocess
import sys

import pytest

from .conftest import EXAMPLE

#: Core cycles, and the nanoseconds of one.
FIRST, COUNT, CYCLE_NS = 200, 40, 16


@pytest.mark.long
def test_window(tmp_path):
    window = ("--wave", str(FIRST), str(COUNT), "--seconds", "1", "--folder", str(tmp_path))
    command = [sys.executable, "-m", "sim.live", "run", str(EXAMPLE), *window]
    subprocess.run(command, check=True, capture_output=True)
    file = (tmp_path / "card.fst").read_bytes()
    # The header is a block of type 0 with its length, and the first and the last time.
    kind, length, first, last = struct.unpack_from(">BQQQ", file)
    assert (kind, length) == (0, 329)
    assert first == FIRST * CYCLE_NS
    assert last // CYCLE_NS == FIRST + COUNT - 1
    # The card's own signals are in it, not only those of its edge.
    assert len(file) > 10_000
