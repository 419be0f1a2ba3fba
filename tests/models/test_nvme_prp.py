import random

import pytest

from sim.models.memory import HostMemory
from sim.models.nvme.prp import Buffer

PAGE = 4096


def spans(memory, buffer):
    """Where a controller finds the data: PRP entries as Base 2.0, 4.1.1 describes them."""

    def load(address):
        return int.from_bytes(memory.device_read(address, 8), "little")

    first, second = buffer.prp
    found = [(first, min(buffer.size, PAGE - first % PAGE))]
    left = buffer.size - found[0][1]
    if left > PAGE:
        entry = second
        while left:
            pointer = load(entry)
            if entry % PAGE == PAGE - 8 and left > PAGE:
                assert pointer % PAGE == 0, "a further list begins its page"
                entry = pointer
                continue
            assert pointer % PAGE == 0
            found.append((pointer, min(left, PAGE)))
            left -= found[-1][1]
            entry += 8
    elif left:
        assert second % PAGE == 0
        found.append((second, left))
    return found


@pytest.mark.parametrize("list_entries", [1, 2, 16, 512])
@pytest.mark.parametrize(
    ("size", "offset"),
    [(1, 0), (4096, 0), (4096, 4), (4097, 0), (8192, 0), (8192, 2048), (131072, 4092), (131072, 0)],
)
def test_entries_lead_to_the_data(size, offset, list_entries):
    memory = HostMemory(rng=random.Random(1))
    buffer = Buffer(memory, size, offset=offset, list_entries=list_entries)
    content = random.Random(2).randbytes(size)
    buffer.write(content)
    assert buffer.read() == content
    buffer.grant(readable=True)
    found = spans(memory, buffer)
    assert b"".join(memory.device_read(at, length) for at, length in found) == content
    assert found[0][0] % PAGE == offset
    buffer.free()
    memory.check()


def test_a_list_of_more_than_a_page():
    memory = HostMemory()
    buffer = Buffer(memory, 600 * PAGE)
    buffer.grant(writable=True)
    assert len(buffer.lists) == 2
    assert len(spans(memory, buffer)) == 600
