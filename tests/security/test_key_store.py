import random

import pytest
from amaranth import Signal
from amaranth.hdl import ResetInserter
from amaranth.sim import Simulator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from niter.security.key_registers import KeyCommand
from niter.security.key_store import KeyStore
from tests.security.rig import HashRig, until
from tests.support.csr import read, write

SLOT, KEY, INFO, COMMAND, STATUS, LOADED, LOCKED, USAGE, DERIVED = range(9)
BUSY, REFUSED, TAMPER, DISCLOSED = 1, 2, 4, 8
STORAGE, DERIVE, DISCLOSE = 1, 2, 64


class Software:
    """Drives the registers, and keeps what the cipher was given."""

    def __init__(self, dut):
        self.dut = dut
        self.cipher = {}

    async def watch(self, ctx):
        """The cipher: takes a word every third cycle."""
        export = self.dut.export
        cycle = 0
        sampled = ctx.tick().sample(export.valid, export.ready, export.payload)
        async for _, _, valid, ready, word in sampled:
            cycle += 1
            ctx.set(export.ready, cycle % 3 == 0)
            if not (valid and ready):
                continue
            if word.erase:
                self.cipher[word.slot] = None
            else:
                held = self.cipher.get(word.slot) or b""
                held = b"" if word.index == 0 else held
                assert len(held) == 4 * word.index
                self.cipher[word.slot] = held + int(word.data).to_bytes(4, "little")

    async def words(self, ctx, register, value):
        for at in range(0, len(value), 4):
            word = int.from_bytes(value[at : at + 4], "little")
            await write(ctx, self.dut.bus, register, word)

    async def command(self, ctx, code, slot, usage=0, source=0):
        """Give a command; whether it was done."""
        await write(ctx, self.dut.bus, SLOT, slot)
        await write(ctx, self.dut.bus, COMMAND, code.value | usage << 3 | source << 5)
        refused = await read(ctx, self.dut.bus, STATUS) & REFUSED
        await self.idle(ctx)
        return not refused

    async def idle(self, ctx):
        for _ in range(3000):
            if not await read(ctx, self.dut.bus, STATUS) & BUSY:
                return
        raise AssertionError("never idle")

    async def load(self, ctx, slot, key, usage):
        if not await self.command(ctx, KeyCommand.LOAD, slot):
            return False
        await self.words(ctx, KEY, key)
        return await self.command(ctx, KeyCommand.COMMIT, slot, usage)

    async def derive(self, ctx, source, slot, info, usage):
        await self.words(ctx, INFO, info)
        return await self.command(ctx, KeyCommand.DERIVE, slot, usage, source)

    async def state(self, ctx):
        return [await read(ctx, self.dut.bus, register) for register in (LOADED, LOCKED, USAGE)]


def run(testbench, *, slots=16, reset=None):
    dut = KeyStore(slots)
    software = Software(dut)
    rig = HashRig(dut)
    rig = rig if reset is None else ResetInserter(reset)(rig)

    sim = Simulator(rig)
    sim.add_clock(1e-6)
    sim.add_process(software.watch)

    async def main(ctx):
        await software.idle(ctx)
        await testbench(ctx, software)

    sim.add_testbench(main)
    sim.run()


def derived(key, info):
    """SP 800-56C in an independent library."""
    return ConcatKDFHash(hashes.SHA512(), 64, info).derive(key)


def test_load_derive_and_use():
    rng = random.Random(1)
    root, disk, info = (rng.randbytes(64) for _ in range(3))

    async def testbench(ctx, software):
        assert software.cipher == dict.fromkeys(range(16))
        assert await software.load(ctx, 0, root, DERIVE)
        assert await software.load(ctx, 5, disk, STORAGE)
        assert software.cipher[5] == disk and software.cipher[0] is None
        assert ctx.get(software.dut.usable) == 1 << 5
        assert await software.derive(ctx, 0, 7, info, STORAGE | DERIVE)
        first = derived(root, info)
        assert software.cipher[7] == first
        assert await software.derive(ctx, 7, 6, info[::-1], STORAGE)
        assert software.cipher[6] == derived(first, info[::-1])
        assert await software.state(ctx) == [0xE1, 0, 0xE0 | 0x81 << 16]

    run(testbench)


def test_disclosure():
    """Software reads derived keys of a source that allows it, until that is locked."""
    rng = random.Random(4)
    secret, key, info = (rng.randbytes(64) for _ in range(3))

    async def ask(ctx, software, source):
        bus = software.dut.bus
        await software.words(ctx, INFO, info)
        await write(ctx, bus, SLOT, 3)
        command = KeyCommand.DERIVE.value | DISCLOSE << 3 | source << 5
        await write(ctx, bus, COMMAND, command)
        if await read(ctx, bus, STATUS) & REFUSED:
            assert await read(ctx, bus, DERIVED) == 0
            return None
        assert await read(ctx, bus, DERIVED) == 0
        await until(ctx, bus, STATUS, DISCLOSED)
        words = [await read(ctx, bus, DERIVED) for _ in range(16)]
        assert await read(ctx, bus, DERIVED) == 0
        await software.idle(ctx)
        return b"".join(word.to_bytes(4, "little") for word in words)

    async def testbench(ctx, software):
        assert await software.load(ctx, 0, secret, DERIVE | DISCLOSE)
        assert await software.load(ctx, 1, key, DERIVE)
        assert await software.load(ctx, 3, key, STORAGE)
        assert await ask(ctx, software, 0) == derived(secret, info)
        assert await ask(ctx, software, 1) is None
        # The slot that was named is as it was.
        assert software.cipher[3] == key and ctx.get(software.dut.usable) == 1 << 3
        assert await software.command(ctx, KeyCommand.LOCK, 0)
        assert await ask(ctx, software, 0) is None
        # Zeroised before it is read: nothing is shown, and the engine is free again.
        assert await software.load(ctx, 2, secret, DERIVE | DISCLOSE)
        await software.words(ctx, INFO, info)
        command = KeyCommand.DERIVE.value | DISCLOSE << 3 | 2 << 5
        await write(ctx, software.dut.bus, COMMAND, command)
        await until(ctx, software.dut.bus, STATUS, DISCLOSED)
        await write(ctx, software.dut.bus, COMMAND, KeyCommand.ZEROISE_ALL.value)
        assert await read(ctx, software.dut.bus, DERIVED) == 0
        await software.idle(ctx)
        assert await software.load(ctx, 2, secret, DERIVE | DISCLOSE)
        assert await ask(ctx, software, 2) == derived(secret, info)

    run(testbench, slots=4)


def test_what_is_refused():
    rng = random.Random(2)
    key, info = rng.randbytes(64), rng.randbytes(64)

    async def testbench(ctx, software):
        # Nothing to commit, to derive from, or too few and too many words.
        assert not await software.command(ctx, KeyCommand.COMMIT, 0, STORAGE)
        assert not await software.derive(ctx, 0, 1, info, STORAGE)
        for size in (0, 60, 68):
            assert not await software.load(ctx, 0, bytes(size), STORAGE)
        # A slot that does not exist.
        assert not await software.load(ctx, 4, key, STORAGE)
        assert await software.state(ctx) == [0, 0, 0]
        # Usage.
        assert await software.load(ctx, 0, key, STORAGE)
        assert not await software.derive(ctx, 0, 1, info, STORAGE)
        assert await software.load(ctx, 1, key, DERIVE)
        for size in (0, 60, 68):
            assert not await software.derive(ctx, 1, 2, bytes(size), STORAGE)
        # A locked slot keeps its key, and is no source.
        assert await software.command(ctx, KeyCommand.LOCK, 0)
        assert await software.command(ctx, KeyCommand.LOCK, 1)
        assert not await software.load(ctx, 0, info, STORAGE)
        assert not await software.derive(ctx, 1, 0, info, STORAGE)
        assert not await software.derive(ctx, 1, 2, info, STORAGE)
        assert software.cipher[0] == key
        assert await software.state(ctx) == [3, 3, 1 | 2 << 16]
        # Zeroising goes on whatever the lock says; the lock stays.
        assert await software.command(ctx, KeyCommand.ZEROISE, 0)
        assert software.cipher[0] is None
        assert await software.state(ctx) == [2, 3, 2 << 16]
        assert not await software.load(ctx, 0, info, STORAGE)

    run(testbench, slots=4)


@pytest.mark.parametrize("by", ["command", "tamper", "reset"])
@pytest.mark.parametrize("wait", [1, 40, 250])
def test_zeroise_while_deriving(by, wait):
    rng = random.Random(wait)
    reset = Signal()
    key, info = rng.randbytes(64), rng.randbytes(64)

    async def testbench(ctx, software):
        bus = software.dut.bus
        assert await software.load(ctx, 0, key, DERIVE)
        assert await software.load(ctx, 1, key, STORAGE)
        await software.words(ctx, INFO, info)
        await write(ctx, bus, SLOT, 2)
        await write(ctx, bus, COMMAND, KeyCommand.DERIVE.value | STORAGE << 3)
        await ctx.tick().repeat(wait)
        if by == "command":
            await write(ctx, bus, COMMAND, KeyCommand.ZEROISE_ALL.value)
            assert not await read(ctx, bus, STATUS) & REFUSED
        else:
            line = software.dut.tamper if by == "tamper" else reset
            ctx.set(line, 1)
            await ctx.tick().repeat(2)
            if by == "tamper":
                assert ctx.get(software.dut.usable) == 0
                assert await read(ctx, bus, STATUS) & TAMPER
                await ctx.tick().repeat(1000)
                await write(ctx, bus, COMMAND, KeyCommand.LOAD.value)
                assert await read(ctx, bus, STATUS) == BUSY | REFUSED | TAMPER
            ctx.set(line, 0)
        await software.idle(ctx)
        assert await software.state(ctx) == [0, 0, 0]
        assert all(held is None for held in software.cipher.values())
        assert ctx.get(software.dut.usable) == 0
        # And it works again.
        assert await software.load(ctx, 3, key, STORAGE | DERIVE)
        assert await software.derive(ctx, 3, 2, info, STORAGE)
        assert software.cipher[2] == derived(key, info)

    run(testbench, slots=4, reset=reset)
