"""A hash engine with software's registers on it, and whatever else shares it."""

from amaranth import Module
from amaranth.hdl import Elaboratable
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from niter.security.hashing import HashRegisters, HashShare
from tests.support.csr import read, write

__all__ = ["HashRig", "hash_by_software", "simulate"]


class HashRig(Elaboratable):
    """The engine, ``registers`` as its first user, and then ``others``."""

    def __init__(self, *others):
        self.registers = HashRegisters()
        self.users = (self.registers, *others)

    def elaborate(self, platform):
        m = Module()
        m.submodules.share = share = HashShare(len(self.users))
        for number, (user, port) in enumerate(zip(self.users, share.ports, strict=True)):
            m.submodules[f"user_{number}"] = user
            connect(m, user.hash, port)
        return m


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


async def until(ctx, bus, addr, mask, limit=3000):
    """Poll a register until a bit of ``mask`` is set; its value."""
    for _ in range(limit):
        value = await read(ctx, bus, addr)
        if value & mask:
            return value
    raise AssertionError(f"register {addr} never showed {mask:#x}")


async def hash_by_software(ctx, registers, message, *, long=False):
    """Hash a message as firmware does."""
    bus = registers.bus
    at = {info.path[0]: info.start for info in bus.memory_map.resources()}
    await write(ctx, bus, at["control"], long)
    whole = len(message) // 4
    for index in range(whole):
        if index % 8 == 0:
            # Room for 8 words at least.
            await until(ctx, bus, at["status"], 1 << 4 | 1 << 3)
        word = int.from_bytes(message[4 * index : 4 * index + 4], "little")
        await write(ctx, bus, at["data"], word)
    await until(ctx, bus, at["status"], 0x1F)
    tail = message[4 * whole :]
    await write(ctx, bus, at["finish"], int.from_bytes(tail, "little") | len(tail) << 24)
    assert await until(ctx, bus, at["status"], 3 << 5) == 1 << 5
    words = [await read(ctx, bus, at["digest"]) for _ in range(16 if long else 12)]
    return b"".join(word.to_bytes(4, "little") for word in words)
