"""``WriteRules`` beside the rules of virtio 1.2, 4.1.4.3 and 2.1, written in plain Python."""

import random

from amaranth.sim import Simulator

from niter.virtio.net.config import net_device
from niter.virtio.pci.registers import Common
from niter.virtio.pci.rules import WriteRules

KIND = net_device(3, 128)


def field(value, lanes, at, size):
    """A field of the word, or None when it is not written as a whole."""
    if lanes >> at & (1 << size) - 1 != (1 << size) - 1:
        return None
    return value >> 8 * at & (1 << 8 * size) - 1


def expected(word, value, lanes, old, exists, enabled, resettable, beyond, refused):
    """Bytes written by lane, and the events."""
    written, events = {}, set()

    def put(at, size, content):
        for n in range(size):
            written[at + n] = content >> 8 * n & 0xFF

    def vector(content):
        return content if content < KIND.vectors else 0xFFFF

    plain = {n: value >> 8 * n & 0xFF for n in range(4) if lanes >> n & 1}
    open_ = exists and not enabled
    if word in (Common.DEVICE_FEATURE_SELECT, Common.DRIVER_FEATURE_SELECT) or (
        word == Common.DRIVER_FEATURE and not beyond and not old & 8
    ):
        written = plain
    elif word == Common.VECTOR_QUEUES:
        if (content := field(value, lanes, 0, 2)) is not None:
            put(0, 2, vector(content))
    elif word == Common.STATUS_GENERATION_SELECT:
        written = {n: byte for n, byte in plain.items() if n >= 2}
        content = field(value, lanes, 0, 1)
        if content == 0:
            events.add("reset")
        elif content is not None:
            new = old | content & 0x83
            if content & 8 and not refused:
                new |= 8
            if content & 4 and new & 8:
                new |= 4
            if new & 4 and not old & 4:
                events.add("start")
            put(0, 1, new)
    elif word == Common.SIZE_VECTOR and open_:
        content = field(value, lanes, 0, 2)
        if content in (1, 2, 4, 8, 16, 32, 64, 128):
            put(0, 2, content)
        if (content := field(value, lanes, 2, 2)) is not None:
            put(2, 2, vector(content))
    elif word == Common.ENABLE_NOTIFY_OFF:
        if open_ and old & 8 and field(value, lanes, 0, 2) == 1:
            put(0, 1, 1)
            events.add("service")
    elif word == Common.NOTIFY_DATA_RESET:
        if enabled and resettable and field(value, lanes, 2, 2) == 1:
            put(3, 1, 1)
            events.add("service")
    elif Common.DESCRIPTOR <= word < Common.NOTIFY_DATA_RESET and open_:
        written = plain
    return written, events


def test_rules_agree_with_the_specification():
    rng = random.Random(7)
    dut = WriteRules(KIND)
    values = [0, 1, 2, 4, 8, 12, 15, 0x40, 0x80, 6, 7, 64, 128, 256, 0xFFFF, 0x7FF]

    async def bench(ctx):
        for _ in range(6000):
            word = rng.choice(list(Common))
            low, high = (rng.choice([*values, rng.randrange(1 << 16)]) for _ in range(2))
            value = low | high << 16
            lanes = rng.choice([1, 2, 3, 4, 8, 12, 15, rng.randrange(16)])
            old = rng.choice([0, 1, 3, 11, 15, 0x8F, 0x83])
            bits = [rng.randrange(2) for _ in range(5)]
            exists, enabled, resettable, beyond, refused = bits
            enabled &= exists
            ctx.set(dut.word, word)
            ctx.set(dut.value, value)
            ctx.set(dut.lanes, lanes)
            ctx.set(dut.status.as_value(), old)
            ctx.set(dut.exists, exists)
            ctx.set(dut.enabled, enabled)
            ctx.set(dut.resettable, resettable)
            ctx.set(dut.beyond, beyond)
            ctx.set(dut.refused, refused)
            await ctx.delay(1e-9)
            written, events = expected(
                word, value, lanes, old, exists, enabled, resettable, beyond, refused
            )
            mask, data = ctx.get(dut.mask), ctx.get(dut.w_data)
            state = (word, hex(value), lanes, old, exists, enabled, beyond, refused)
            assert mask == sum(1 << lane for lane in written), state
            for lane, byte in written.items():
                assert data >> 8 * lane & 0xFF == byte, state
            for name in ("reset", "start", "service"):
                assert bool(ctx.get(getattr(dut.event, name))) == (name in events), state

    sim = Simulator(dut)
    sim.add_testbench(bench)
    sim.run()
