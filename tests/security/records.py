"""Reads the response files of NIST's validation programs."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["records"]

_VECTORS = Path(__file__).with_name("vectors")


def records(name: str) -> Iterator[dict[str, str]]:
    """The records of a file; ``section`` is the last heading in brackets before it."""
    section = ""
    for block in (_VECTORS / name).read_text().split("\n\n"):
        record = {}
        for line in block.splitlines():
            if line.startswith("["):
                section = line.strip("[] ")
            elif " = " in line:
                key, value = line.split(" = ")
                record[key] = value
        if record:
            yield {"section": section, **record}
