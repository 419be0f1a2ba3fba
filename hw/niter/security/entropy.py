"""The random source as firmware sees it."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from niter import csr

from .health import HealthTests

__all__ = ["RandomSource"]


class _Status(csr.Register, access="r"):
    """State of the source."""

    valid: csr.Field(csr.action.R, 1, doc="``word`` holds 32 fresh bits.")
    alarm: csr.Field(csr.action.R, 1, doc="A health test failed: no words until ``restart``.")
    tested: csr.Field(csr.action.R, 1, doc="The start-up test is over.")
    deterministic: csr.Field(csr.action.R, 1, doc="A simulation's source: not random at all.")


class _Word(csr.Register, access="r"):
    """32 bits, each handed out once; zero unless ``valid``."""

    bits: csr.Field(csr.action.R, 32)


class _Restart(csr.Register, access="w"):
    """Forgets an alarm and whatever was gathered, and runs the start-up test again."""

    now: csr.Field(csr.action.W, 1)


class RandomSource(wiring.Component):
    """Raw samples, health tests, and a debiaser, behind registers.

    Every raw sample goes through the tests; until the start-up test is over, and from an alarm
    on, nothing is handed out, and what was gathered is thrown away. Behind the tests von Neumann's
    debiaser takes samples in pairs and drops equal ones. That removes bias of independent samples
    and nothing else: it is no conditioning component of SP 800-90B, and does not remove
    correlation. Firmware hashes words before it uses them: at least 1,024 bits of them for a seed
    of 384 bits, with SHA-384, which is one.

    A word takes 128 samples of an unbiased source on the average.

    Parameters
    ----------
    source
        ``RingNoise`` on a board, ``SeededNoise`` in simulation, or anything with a port
        ``noise`` and an attribute ``deterministic``.
    entropy
        Min-entropy of a sample that the tests are made for, in bits.

    Members
    -------
    bus : In(csr.Signature)
        Registers.
    """

    def __init__(self, source: wiring.Component, entropy: float = 0.5):
        self.source = source
        self.health = HealthTests(entropy)
        registers = csr.Builder(addr_width=2)
        self._status = registers.add("status", _Status())
        self._word = registers.add("word", _Word())
        self._restart = registers.add("restart", _Restart())
        self._bridge = csr.Bridge(registers.as_memory_map())
        super().__init__({"bus": In(csr.Signature(addr_width=2))})
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        m.submodules.source = self.source
        m.submodules.health = health = self.health
        wiring.connect(m, wiring.flipped(self.bus), self._bridge.bus)
        noise = self.source.noise
        restart = self._restart.f.now.w_stb & self._restart.f.now.w_data
        m.d.comb += [
            health.sample.eq(noise.sample),
            health.valid.eq(noise.valid),
            health.restart.eq(restart),
        ]

        word = Signal(32)
        gathered = Signal(6)
        odd = Signal()
        first = Signal()
        usable = health.tested & ~health.alarm & ~restart
        full = gathered == 32
        with m.If(noise.valid & usable & ~full):
            m.d.sync += [odd.eq(~odd), first.eq(noise.sample)]
            with m.If(odd & (first != noise.sample)):
                m.d.sync += [word.eq(Cat(first, word)), gathered.eq(gathered + 1)]
        with m.If((self._word.r_stb & full) | ~usable):
            m.d.sync += [gathered.eq(0), odd.eq(0), word.eq(0)]
        m.d.comb += [
            self._word.f.bits.r_data.eq(Mux(full & usable, word, 0)),
            self._status.f.valid.r_data.eq(full & usable),
            self._status.f.alarm.r_data.eq(health.alarm),
            self._status.f.tested.r_data.eq(health.tested),
            self._status.f.deterministic.r_data.eq(self.source.deterministic),
        ]
        return m
