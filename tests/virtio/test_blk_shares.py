"""How many requests a function may have, and what a block device is declared as."""

import random

import pytest

from niter.virtio.blk import VirtioBlk, blk_device
from niter.virtio.blk.shares import Shares
from tests.support.stream import SEEDS, Bench

FUNCTIONS, TAGS, KEPT = 3, 32, 4


@pytest.mark.parametrize("seed", SEEDS)
def test_every_function_always_has_its_own_tags(seed):
    """Functions begin whatever they may, and give little back; nobody is ever without his four."""
    rng = random.Random(seed)
    bench = Bench(dut := Shares(FUNCTIONS, TAGS), seed)
    most = [0] * FUNCTIONS

    async def process(ctx):
        counts = [0] * FUNCTIONS
        for cycle in range(4000):
            hogs = cycle // 500 % (FUNCTIONS + 1)
            held = ctx.get(dut.held)
            for name in ("begun", "ended", "dropped"):
                ctx.set(getattr(dut, name), 0)
                ctx.set(getattr(dut, f"{name}_of"), rng.randrange(8))
            before = list(counts)
            wanting = [f for f in range(FUNCTIONS) if f == hogs or rng.random() < 0.3]
            may = [f for f in wanting if not held >> f & 1]
            for f in wanting:
                assert f in may or counts[f] >= KEPT, "a function is held below its own share"
            if may and cycle % 2:
                f = rng.choice(may)
                counts[f] += 1
                ctx.set(dut.begun, 1)
                ctx.set(dut.begun_of, f)
            for name, odds in (("ended", 0.3), ("dropped", 0.05)):
                f = rng.randrange(FUNCTIONS)
                if before[f] and f != hogs and rng.random() < odds:
                    before[f] -= 1
                    counts[f] -= 1
                    ctx.set(getattr(dut, name), 1)
                    ctx.set(getattr(dut, f"{name}_of"), f)
            owed = sum(max(0, KEPT - count) for count in counts)
            assert sum(counts) + owed <= TAGS
            for f, count in enumerate(counts):
                most[f] = max(most[f], count)
            await ctx.tick()

    bench.add(process)
    bench.run()
    assert min(most) >= TAGS - KEPT * FUNCTIONS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": 48}, "Tags must be a power of two, 2 to 64, not 48"),
        ({"tags": 128}, "Tags must be a power of two, 2 to 64, not 128"),
        ({"functions": 8, "tags": 32}, "8 functions need more than 32 tags, not 32"),
        ({"queues": 13}, "A device has 1 to 12 queues, not 13"),
    ],
)
def test_devices_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        VirtioBlk(**options)


def test_the_block_device_is_declared_as_the_specification_has_it():
    kind = blk_device(4, 128)
    function = kind.function()
    assert (function.vendor, function.device, function.revision) == (0x1AF4, 0x1042, 1)
    assert function.class_code >> 16 == 0x01, "mass storage"
    assert kind.queues == 4 and kind.vectors == 5
    assert not any(kind.pulled(index) for index in range(4))
    # struct virtio_blk_config (5.2.4).
    content = b"".join(word.to_bytes(4, "little") for word in kind.config)

    def field(at, size):
        return int.from_bytes(content[at : at + size], "little")

    assert field(0, 8) == 0
    assert field(12, 4) == 15
    assert field(8, 4) * 15 < 32 << 20
    assert field(20, 4) == 512
    assert field(34, 2) == 4
    assert [field(at, 4) for at in (36, 40, 44)] == [32768, 1, 1]
    assert [field(at, 4) for at in (48, 52)] == [32768, 1]
