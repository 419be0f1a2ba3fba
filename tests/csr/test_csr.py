import pytest
from amaranth import Module
from amaranth.lib import enum
from amaranth.sim import Simulator

from niter import csr
from tests.support.csr import read, write


class Speed(enum.Enum, shape=2):
    SLOW = 0
    FAST = 2


class Control(csr.Register, access="rw"):
    """Switches it.

    More about it.
    """

    enable: csr.Field(csr.action.RW, 1, doc="Go.")
    speed: csr.Field(csr.action.RW, Speed, init=Speed.FAST)
    _0: csr.Field(csr.action.Reserved, 5)
    mtu: csr.Field(csr.action.RW, 14, init=1500)
    busy: csr.Field(csr.action.R, 1)


class Events(csr.Register, access="rw"):
    """What happened."""

    seen: csr.Field(csr.action.RW1C, 4, init=1)
    asked: csr.Field(csr.action.RW1S, 4)


class Command(csr.Register, access="w"):
    """Kick."""

    code: csr.Field(csr.action.W, 8)


def make():
    builder = csr.Builder(addr_width=3)
    registers = [
        builder.add("control", Control()),
        builder.add("events", Events()),
        builder.add("command", Command(), addr=5),
    ]
    return csr.Bridge(builder.as_memory_map()), registers


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


def test_a_value_that_is_kept_and_not_read():
    builder = csr.Builder(addr_width=0)
    field = csr.Field(csr.action.WO, 8, init=3)
    register = builder.add("limit", csr.Register({"value": field}, access="w", doc="Limit."))
    bridge = csr.Bridge(builder.as_memory_map())

    async def testbench(ctx):
        assert ctx.get(register.f.value.data) == register.init == 3
        await write(ctx, bridge.bus, 0, 0x5A)
        assert ctx.get(register.f.value.data) == 0x5A
        assert await read(ctx, bridge.bus, 0) == 0
        assert ctx.get(register.f.value.data) == 0x5A

    simulate(bridge, testbench)


def test_bridge():
    bridge, (control, events, command) = make()

    async def testbench(ctx):
        bus = bridge.bus
        assert control.init == 2 << 1 | 1500 << 8
        assert await read(ctx, bus, 0) == control.init
        await ctx.tick()
        assert ctx.get(bus.r_data) == 0
        await write(ctx, bus, 0, 0xFFFF_FFFF & ~(3 << 1))
        ctx.set(control.f.busy.r_data, 1)
        assert ctx.get(control.f.enable.data) == 1
        assert ctx.get(control.f.speed.data) == Speed.SLOW
        assert ctx.get(control.f.mtu.data) == 0x3FFF
        assert await read(ctx, bus, 0) == 1 | 0x3FFF << 8 | 1 << 22

        assert await read(ctx, bus, 1) == 1
        ctx.set(events.f.seen.set, 0b1010)
        await ctx.tick()
        ctx.set(events.f.seen.set, 0b0010)
        await write(ctx, bus, 1, 0x13 | 0x20)
        ctx.set(events.f.seen.set, 0)
        assert await read(ctx, bus, 1) == 0b1010 | 0x30
        ctx.set(events.f.asked.clear, 1)
        await ctx.tick()
        assert await read(ctx, bus, 1) == 0b1010 | 0x20

        ctx.set(bus.addr, 5)
        ctx.set(bus.w_data, 0xA5)
        ctx.set(bus.w_stb, 1)
        assert (ctx.get(command.f.code.w_stb), ctx.get(command.f.code.w_data)) == (1, 0xA5)
        await ctx.tick()
        ctx.set(bus.w_stb, 0)
        assert not ctx.get(command.f.code.w_stb)
        assert await read(ctx, bus, 5) == 0
        await write(ctx, bus, 2, 0xFFFF_FFFF)
        assert await read(ctx, bus, 2) == 0

    simulate(bridge, testbench)


def test_decoder():
    bridges = [make() for _ in range(2)]
    decoder = csr.Decoder(addr_width=6)
    decoder.add(bridges[0][0].bus, name="first")
    decoder.add(bridges[1][0].bus, name="second", addr=0x18)
    top = Module()
    top.submodules += [decoder, *(bridge for bridge, _ in bridges)]

    async def testbench(ctx):
        await write(ctx, decoder.bus, 0x18, 1)
        assert await read(ctx, decoder.bus, 0x18) == 1
        assert await read(ctx, decoder.bus, 0x00) == bridges[0][1][0].init
        assert await read(ctx, decoder.bus, 0x20) == 0

    simulate(top, testbench)
    paths = {info.path: info.start for info in decoder.bus.memory_map.all_resources()}
    assert paths == {
        ("first", "control"): 0,
        ("first", "events"): 1,
        ("first", "command"): 5,
        ("second", "control"): 0x18,
        ("second", "events"): 0x19,
        ("second", "command"): 0x1D,
    }
    assert decoder.bus.memory_map.find("second", "events").start == 0x19


def test_decoder_keeps_answers_of_faster_buses():
    """A word is asked for in each cycle; each answer comes when the joined bus says so, alone."""
    (near, _), (far, _) = make(), make()
    between = csr.decoder_of({"far": far.bus}, latency=2)
    decoder = csr.decoder_of({"near": near.bus, "between": between.bus}, latency=3)
    top = Module()
    top.submodules += [near, far, between, decoder]
    bus = decoder.bus
    values = {0: 1, 8: 0}

    async def testbench(ctx):
        for addr, value in values.items():
            await write(ctx, bus, addr, value)
        asked = [0, 8, None, 8, 0, None, None, 0]
        shown = []
        for addr in asked + [None] * bus.latency:
            ctx.set(bus.r_stb, addr is not None)
            ctx.set(bus.addr, addr or 0)
            shown.append(ctx.get(bus.r_data))
            await ctx.tick()
        assert shown[bus.latency :] == [values.get(addr, 0) for addr in asked]
        assert not any(shown[: bus.latency])

    simulate(top, testbench)


def test_latency_is_checked():
    with pytest.raises(ValueError, match="a cycle or more, not 0"):
        csr.Signature(addr_width=1, latency=0)
    bridge, _ = make()
    slow = csr.decoder_of({"registers": bridge.bus}, latency=2)
    assert csr.decoder_of({"slow": slow.bus}).bus.latency == 2
    with pytest.raises(ValueError, match="'slow' answers after 2 cycles, the joined one after 1"):
        csr.Decoder(addr_width=4).add(slow.bus, name="slow")
    assert csr.Signature(addr_width=1) != csr.Signature(addr_width=1, latency=2)


def test_register_errors():
    with pytest.raises(TypeError, match="Register Register has no fields"):
        csr.Register(access="r")
    with pytest.raises(TypeError, match='must be "r", "w" or "rw"'):
        csr.Register({"a": csr.Field(csr.action.R)})
    with pytest.raises(ValueError, match="has access 'rw', the register only 'r'"):
        csr.Register({"a": csr.Field(csr.action.RW)}, access="r")
    with pytest.raises(ValueError, match="has 33 bits, at most 32 fit"):
        csr.Register({"a": csr.Field(csr.action.R, 33)}, access="r")
    with pytest.raises(TypeError, match="must be a subclass of Action"):
        csr.Field("RW")
    with pytest.raises(TypeError, match="Only registers can be added"):
        csr.Builder(addr_width=1).add("x", "y")


def test_map_errors():
    with pytest.raises(ValueError, match="Address width must be a non-negative integer"):
        csr.MemoryMap(addr_width=-1)
    memory_map = csr.MemoryMap(addr_width=3)
    memory_map.add_resource("a", name="a", size=2)
    with pytest.raises(ValueError, match="Name 'a' is already in use"):
        memory_map.add_resource("b", name="a")
    with pytest.raises(ValueError, match="Name must be an identifier, not '1'"):
        memory_map.add_resource("b", name="1")
    with pytest.raises(ValueError, match=r"Range 0x1..0x2 of 'b' overlaps 0x0..0x2 of 'a'"):
        memory_map.add_resource("b", name="b", addr=1)
    with pytest.raises(ValueError, match="does not fit in 3 address bits"):
        memory_map.add_resource("b", name="b", addr=8)
    with pytest.raises(ValueError, match="is not a multiple of 0x4"):
        memory_map.add_window(csr.MemoryMap(addr_width=2), name="w", addr=2)
    assert memory_map.add_window(csr.MemoryMap(addr_width=2), name="w") == (4, 8)
    with pytest.raises(KeyError):
        memory_map.find("nothing")
    bus = csr.Signature(addr_width=3).create()
    with pytest.raises(AttributeError, match="has no memory map yet"):
        _ = bus.memory_map
    with pytest.raises(ValueError, match="The memory map has 2 address bits, the bus 3"):
        bus.memory_map = csr.MemoryMap(addr_width=2)
