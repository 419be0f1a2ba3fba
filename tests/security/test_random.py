import random
from itertools import pairwise
from math import exp, lgamma, log

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from niter.security.entropy import RandomSource
from niter.security.health import APT_WINDOW, proportion_cutoff, repetition_cutoff
from niter.security.noise import NoiseSignature, RingNoise, SeededNoise
from tests.security.rig import simulate
from tests.support.csr import read, write

STATUS, WORD, RESTART = range(3)
VALID, ALARM, TESTED, DETERMINISTIC = 1, 2, 4, 8


class Played(wiring.Component):
    """Samples that the test sets."""

    deterministic = False
    noise: Out(NoiseSignature)

    def elaborate(self, platform):
        return Module()


async def play(ctx, dut, samples):
    """Give the samples; the words that could be read meanwhile, and the last status."""
    words = []
    status = await read(ctx, dut.bus, STATUS)
    noise = dut.source.noise
    for sample in samples:
        ctx.set(noise.sample, sample)
        ctx.set(noise.valid, 1)
        await ctx.tick()
        ctx.set(noise.valid, 0)
        status = await read(ctx, dut.bus, STATUS)
        if status & VALID:
            words.append(await read(ctx, dut.bus, WORD))
        else:
            assert status & ALARM == 0 or await read(ctx, dut.bus, WORD) == 0
    return words, status


def debiased(samples):
    """What von Neumann makes of them, as words."""
    bits = [a for a, b in zip(samples[::2], samples[1::2], strict=True) if a != b]
    words = []
    for at in range(0, len(bits) - 31, 32):
        words.append(int("".join(map(str, bits[at : at + 32])), 2))
    return words


def test_cutoffs_are_those_of_the_standard():
    # SP 800-90B, 4.4.1: 1 + 20 / H. 4.4.2: the false positive rate is at most 2**-20, and that
    # of a cutoff one lower is not.
    assert [repetition_cutoff(h) for h in (1, 0.5, 0.25)] == [21, 41, 81]
    for entropy in (1, 0.5):
        likely = 2**-entropy
        cutoff = proportion_cutoff(entropy)
        tails = [0.0]
        for count in range(APT_WINDOW, cutoff - 2, -1):
            log_chance = (
                lgamma(APT_WINDOW + 1)
                - lgamma(count + 1)
                - lgamma(APT_WINDOW - count + 1)
                + count * log(likely)
                + (APT_WINDOW - count) * log(1 - likely)
            )
            tails.append(tails[-1] + exp(log_chance))
        assert tails[-2] <= 2**-20 < tails[-1]


def test_good_samples_become_words():
    dut = RandomSource(Played())
    rng = random.Random(1)
    start = [rng.getrandbits(1) for _ in range(APT_WINDOW)]
    samples = [rng.getrandbits(1) for _ in range(1500)]

    async def testbench(ctx):
        words, status = await play(ctx, dut, start)
        assert words == [] and status == TESTED
        words, status = await play(ctx, dut, samples)
        assert words == debiased(samples) and len(words) > 5
        assert not status & ALARM
        # A word is handed out once.
        assert await read(ctx, dut.bus, WORD) == 0

    simulate(dut, testbench)


def stuck(rng, count):
    return [1] * count


def biased(rng, count):
    return [int(rng.random() < 0.95) for _ in range(count)]


def slow(rng, count):
    """Each sample 45 times."""
    return [bit for _ in range(count // 45 + 1) for bit in [rng.getrandbits(1)] * 45][:count]


@pytest.mark.parametrize(
    "broken, from_start", [(stuck, True), (stuck, False), (biased, False), (slow, True)]
)
def test_a_broken_source_raises_the_alarm(broken, from_start):
    dut = RandomSource(Played())
    rng = random.Random(3)

    def good(count):
        return [rng.getrandbits(1) for _ in range(count)]

    async def testbench(ctx):
        if not from_start:
            words, status = await play(ctx, dut, good(APT_WINDOW))
            assert status == TESTED
            await play(ctx, dut, good(100))
        words, status = await play(ctx, dut, broken(rng, 2 * APT_WINDOW))
        assert status == ALARM
        if from_start:
            assert words == []
        # Good samples do not bring it back, only a restart does, and then a test from the start.
        words, status = await play(ctx, dut, good(300))
        assert words == [] and status == ALARM
        await write(ctx, dut.bus, RESTART, 1)
        words, status = await play(ctx, dut, good(APT_WINDOW - 1))
        assert words == [] and status == 0
        words, status = await play(ctx, dut, good(200))
        assert words and status & TESTED

    simulate(dut, testbench)


def test_alarm_comes_with_the_very_sample():
    dut = RandomSource(Played())

    async def testbench(ctx):
        _, status = await play(ctx, dut, [0] + [1] * (repetition_cutoff(0.5) - 1))
        assert status == 0
        _, status = await play(ctx, dut, [1])
        assert status == ALARM

    simulate(dut, testbench)


def test_the_seeded_source_says_what_it_is():
    dut = RandomSource(SeededNoise(1234567))

    async def testbench(ctx):
        words = []
        while len(words) < 20:
            status = await read(ctx, dut.bus, STATUS)
            assert status & (DETERMINISTIC | ALARM) == DETERMINISTIC
            if status & VALID:
                words.append(await read(ctx, dut.bus, WORD))
        assert all(a != b for a, b in pairwise(words))
        ones = sum(word.bit_count() for word in words)
        assert abs(ones - 320) < 64

    simulate(dut, testbench)


def test_parameters():
    with pytest.raises(ValueError, match="odd number of cells"):
        RingNoise((3, 4))
    with pytest.raises(ValueError, match="Seed must be"):
        SeededNoise(0)
    with pytest.raises(ValueError, match="Entropy of a bit"):
        RandomSource(Played(), 0)
