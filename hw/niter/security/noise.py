"""Where random bits come from: rings of gates on a device, a seed in simulation."""

from amaranth import Cat, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import Out

__all__ = ["NoiseSignature", "RingNoise", "SeededNoise"]

#: A source of raw samples, seen from the source: ``sample`` counts in cycles with ``valid``.
NoiseSignature = wiring.Signature({"sample": Out(1), "valid": Out(1)})


class SeededNoise(wiring.Component):
    """Numbers that anyone can predict, for simulation: a xorshift generator of 64 bits.

    A sample a cycle. ``deterministic`` says so in the registers, and firmware for a board refuses
    to make keys with it.

    Parameters
    ----------
    seed
        Where it begins; not zero.

    Members
    -------
    noise : Out(NoiseSignature)
        Samples.
    """

    #: Nothing about it is random.
    deterministic = True

    noise: Out(NoiseSignature)

    def __init__(self, seed: int):
        if not 0 < seed < 1 << 64:
            raise ValueError(f"Seed must be 1 to {(1 << 64) - 1}, not {seed!r}")
        self.seed = seed
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        state = Signal(64, init=self.seed)
        first = (state ^ (state << 13))[:64]
        second = first ^ (first >> 7)
        m.d.sync += state.eq(second ^ (second << 17))
        m.d.comb += [self.noise.sample.eq(state[40]), self.noise.valid.eq(1)]
        return m


class RingNoise(wiring.Component):
    """Ring oscillators of an ECP5, sampled together.

    Each ring is an odd number of inverting LUT4 cells in a circle, kept from optimisation, and
    free-running; its phase drifts by thermal jitter. All rings are sampled through
    synchronisers and XORed every ``interval`` cycles, so that jitter has time to gather between
    samples. How much entropy a sample has depends on device, placement, voltage and
    temperature: it has to be measured on the device, by SP 800-90B's tests, before anyone relies on
    it. It cannot be simulated.

    Parameters
    ----------
    lengths
        Cells in each ring: odd, and best without common factors, so that rings do not lock.
    interval
        Cycles between samples.

    Members
    -------
    noise : Out(NoiseSignature)
        Samples.
    """

    #: It is what a board has for randomness.
    deterministic = False

    noise: Out(NoiseSignature)

    def __init__(
        self, lengths: tuple[int, ...] = (3, 5, 7, 11, 13, 17, 19, 23), interval: int = 64
    ):
        if any(length < 3 or length % 2 == 0 for length in lengths):
            raise ValueError(f"A ring has an odd number of cells, 3 or more, not {lengths!r}")
        self.lengths = lengths
        self.interval = interval
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        samples = []
        for number, length in enumerate(self.lengths):
            nodes = [Signal(name=f"ring_{number}_{at}", attrs={"keep": 1}) for at in range(length)]
            for at, node in enumerate(nodes):
                m.submodules[f"ring_{number}_cell_{at}"] = Instance(
                    "LUT4",
                    a_keep=1,
                    p_INIT=0x5555,
                    i_A=nodes[at - 1],
                    i_B=0,
                    i_C=0,
                    i_D=0,
                    o_Z=node,
                )
            sample = Signal(name=f"sampled_{number}")
            m.submodules[f"sampler_{number}"] = FFSynchronizer(nodes[0], sample)
            samples.append(sample)
        count = Signal(range(self.interval))
        with m.If(count == self.interval - 1):
            m.d.sync += count.eq(0)
        with m.Else():
            m.d.sync += count.eq(count + 1)
        m.d.sync += [self.noise.sample.eq(Cat(samples).xor()), self.noise.valid.eq(count == 0)]
        return m
