import random

import pytest

from sim.models.memory import GUARD_BYTES, HostMemory, StrayAccess


def test_only_what_is_granted_can_be_touched():
    memory = HostMemory()
    region = memory.allocate(100, name="buffer", readable=True)
    region.write(0, bytes(range(100)))
    assert memory.device_read(region.address + 10, 5) == bytes(range(10, 15))
    with pytest.raises(StrayAccess) as error:
        memory.device_write(region.address, b"x")
    assert str(error.value) == f"write of 1 bytes at {region.address:#x} in buffer, not granted"
    region.readable, region.writable = False, True
    assert memory.device_write(region.address + 98, b"ab")
    assert region.read(98) == b"ab"
    with pytest.raises(StrayAccess):
        memory.device_read(region.address, 1)
    with pytest.raises(StrayAccess):
        memory.device_write(region.address + 99, b"ab")
    with pytest.raises(AssertionError, match="Stray accesses"):
        memory.check()


def test_a_freed_region_is_gone_for_good():
    memory = HostMemory()
    regions = [memory.allocate(16, readable=True) for _ in range(50)]
    for region in regions[::2]:
        memory.free(region)
    for number, region in enumerate(regions):
        if number % 2:
            assert memory.device_read(region.address, 16) == bytes(16)
        else:
            with pytest.raises(StrayAccess):
                memory.device_read(region.address, 16)
    assert memory.allocate(16).address > regions[-1].address


def test_guard_bytes_are_checked():
    memory = HostMemory()
    for at in (-1, 8):
        region = memory.allocate(8, name="small")
        region._bytes[GUARD_BYTES + at] ^= 1
        with pytest.raises(AssertionError, match="small: bytes"):
            memory.free(region)


def test_refused_addresses_are_no_defect():
    memory = HostMemory()
    memory.refuse(0x1000, 0x1000)
    assert memory.device_read(0x1FFF, 8) is None
    assert not memory.device_write(0x1000, b"abc")
    assert memory.refused == 2
    memory.check()
    loose = HostMemory(strict=False)
    assert loose.device_read(0x10, 4) is None
    assert loose.strays == ["read of 4 bytes at 0x10 outside any region"]


def test_a_bus_may_round_reads_to_words():
    memory = HostMemory()
    for size in range(1, 9):
        for offset in range(4):
            region = memory.allocate(size, align=4, offset=offset, readable=True)
            region.fill(0x77)
            start = region.address // 4 * 4
            end = (region.address + size + 3) // 4 * 4
            content = memory.device_read(start, end - start, rounded=True)
            assert content[offset : offset + size] == b"\x77" * size
            with pytest.raises(StrayAccess):
                memory.device_read(start - 4, end - start + 4, rounded=True)


def test_alignment_and_spreading():
    memory = HostMemory(rng=random.Random(1))
    last = 0
    for _ in range(200):
        region = memory.allocate(10, align=64, offset=7)
        assert region.address % 64 == 7
        assert region.address >= last + 2 * GUARD_BYTES
        last = region.address + region.size
    with pytest.raises(IndexError):
        region.read(5, 6)
