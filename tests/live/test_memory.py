"""A guest's memory, as the card's process writes it while the guest looks on."""

import subprocess
from pathlib import Path

_HERE = Path(__file__).parent
_SOURCES = _HERE.parents[1] / "sim/live/src"


def test_a_guest_sees_each_word_whole_and_no_byte_that_is_not_enabled(tmp_path):
    program = tmp_path / "words"
    files = (_HERE / "words.cpp", _SOURCES / "memory.cpp", _SOURCES / "tlp.cpp")
    flags = ("-std=c++17", "-O1", "-pthread", f"-I{_SOURCES}", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["g++", *flags, *files, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True)
    assert not done.returncode, done.stdout
