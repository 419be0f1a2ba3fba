"""The cables of a whole card, end to end, octet by octet."""

import random

import pytest
from amaranth import Module
from amaranth.sim import Simulator

from sim.models.cable import CHUNK, Feed, Gather


@pytest.mark.parametrize("seed", [1, 2])
def test_octets_pass_in_order_and_frames_keep_their_gap(seed):
    rng = random.Random(seed)
    lengths = [CHUNK, 2 * CHUNK, CHUNK + 1, 72, rng.randint(72, 300), 3 * CHUNK - 1, 72]
    frames = [rng.randbytes(length) for length in lengths]
    m = Module()
    m.submodules.feed, m.submodules.gather = feed, gather = Feed(), Gather()
    m.d.comb += [
        gather.gmii.d.eq(feed.gmii.d),
        gather.gmii.en.eq(feed.gmii.dv),
        gather.gmii.er.eq(0),
    ]
    line: list[int | None] = []
    found: list[bytes] = []

    async def send(ctx):
        level = 0
        for frame in frames:
            for at in range(0, len(frame), CHUNK):
                chunk = frame[at : at + CHUNK]
                level ^= 1
                ctx.set(feed.octets, int.from_bytes(chunk, "little"))
                ctx.set(feed.count, len(chunk))
                ctx.set(feed.gap, 12 if at + CHUNK >= len(frame) else 0)
                ctx.set(feed.flag, level)
                await ctx.tick("gmii").until(feed.taken == level)
        await ctx.tick("gmii").repeat(CHUNK + 20)

    async def watch(ctx):
        frame, before = b"", 0
        async for _, _, dv, d, flag, octets, count, last, error in ctx.tick("gmii").sample(
            feed.gmii.dv,
            feed.gmii.d,
            gather.flag,
            gather.octets,
            gather.count,
            gather.last,
            gather.error,
        ):
            line.append(d if dv else None)
            if flag != before:
                before = flag
                assert not error
                frame += octets.to_bytes(CHUNK, "little")[:count]
                if last:
                    found.append(frame)
                    frame = b""

    sim = Simulator(m)
    sim.add_clock(8e-9, domain="gmii")
    sim.add_testbench(send)
    sim.add_testbench(watch, background=True)
    sim.run()
    assert found == frames
    # Nothing but the least gap between two frames, and none inside of one.
    first = next(at for at, octet in enumerate(line) if octet is not None)
    expected: list[int | None] = []
    for frame in frames:
        expected += [*frame, *[None] * 12]
    assert line[first : first + len(expected)] == expected
