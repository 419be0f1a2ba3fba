"""A hash engine with software's registers on it, and whatever else shares it."""

from amaranth import Module
from amaranth.hdl import Elaboratable
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from niter.security.hashing import HashRegisters, HashShare
from tests.support.csr import read, write

__all__ = ["HashRig", "hash_by_software", "padded", "simulate", "until"]


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


def padded(message):
    """A message as the standard pads it (FIPS 180-4, 5.1.2)."""
    zeros = -(len(message) + 17) % 128
    return message + b"\x80" + bytes(zeros) + (8 * len(message)).to_bytes(16, "big")


async def hash_by_software(ctx, registers, message, *, long=False):
    """Hash a message as firmware does."""
    bus = registers.bus
    at = {info.path[0]: info.start for info in bus.memory_map.resources()}
    await write(ctx, bus, at["control"], long)
    message = padded(message)
    for place in range(0, len(message), 4):
        if place % 128 == 0:
            await until(ctx, bus, at["status"], 1)
        register = at["data" if place + 4 < len(message) else "finish"]
        await write(ctx, bus, register, int.from_bytes(message[place : place + 4], "little"))
    assert await until(ctx, bus, at["status"], 2) == 2
    words = [await read(ctx, bus, at["digest"]) for _ in range(16 if long else 12)]
    return b"".join(word.to_bytes(4, "little") for word in words)
