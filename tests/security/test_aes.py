import random

from amaranth import Module
from amaranth.hdl import Elaboratable
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from niter.security.aes_expand import AesExpand
from niter.security.aes_ring import AesRing, Schedule
from tests.security.rig import simulate

#: FIPS 197, appendix C.3.
KEY = bytes(range(32))
PLAIN = bytes.fromhex("00112233445566778899aabbccddeeff")
CIPHER = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")


class Rig(Elaboratable):
    """The expander in front of the ring."""

    def __init__(self):
        self.expand = AesExpand()
        self.ring = AesRing()

    def elaborate(self, platform):
        m = Module()
        m.submodules.expand = self.expand
        m.submodules.ring = self.ring
        m.d.comb += [
            self.ring.write_address.eq(self.expand.address),
            self.ring.write_data.eq(self.expand.data),
            self.ring.write.eq(self.expand.write),
        ]
        return m


async def load(ctx, expand, slot, keys):
    for index in range(16):
        word = int.from_bytes(keys[4 * index : 4 * index + 4], "little")
        ctx.set(expand.i.payload, {"slot": slot, "index": index, "erase": 0, "data": word})
        ctx.set(expand.i.valid, 1)
        await ctx.tick().until(expand.i.ready)
        ctx.set(expand.i.valid, 0)
    await ctx.tick().until(expand.ready.bit_select(slot, 1))


async def erase(ctx, expand, slot):
    ctx.set(expand.i.payload, {"slot": slot, "index": 0, "erase": 1, "data": 0})
    ctx.set(expand.i.valid, 1)
    await ctx.tick().until(expand.i.ready)
    ctx.set(expand.i.valid, 0)
    await ctx.tick().until(expand.i.ready)


async def whitening(ctx, ring, slot, schedule):
    ctx.set(ring.fetch_key, {"slot": slot, "schedule": schedule, "index": 0})
    ctx.set(ring.fetch, 1)
    await ctx.tick().until(ring.free)
    ctx.set(ring.fetch, 0)
    return ctx.get(ring.whitening)


def electronic_codebook(key, block, schedule):
    """What the block becomes, by an independent library."""
    cipher = Cipher(algorithms.AES256(key), modes.ECB())
    one = cipher.decryptor() if schedule == Schedule.DECRYPT else cipher.encryptor()
    return one.update(block)


async def run_blocks(ctx, ring, blocks):
    """Put blocks into the ring, whitened, standing still now and then; the results in order."""
    rng = random.Random(5)
    waiting, done, cycles = list(blocks), [], 0
    while len(done) < len(blocks):
        go = rng.random() < 0.9
        ctx.set(ring.go, go)
        if waiting:
            slot, schedule, data = waiting[0]
            token = {"valid": 1, "schedule": schedule, "slot": slot, "side": len(waiting) & 1}
            ctx.set(ring.i, token)
            ctx.set(ring.i_data, data)
        else:
            ctx.set(ring.i, {"valid": 0})
        _, _, free, o, data = await ctx.tick().sample(ring.free, ring.o, ring.o_data)
        if go and free and waiting:
            waiting.pop(0)
        if go and o.valid:
            done.append((int(data).to_bytes(16, "little"), o.side))
        cycles += 1
        assert cycles < 30 * len(blocks) + 100
    ctx.set(ring.go, 1)
    return done


def test_blocks_in_both_directions():
    rig = Rig()
    rng = random.Random(1)
    keys = {3: KEY + rng.randbytes(32), 12: rng.randbytes(64)}

    async def testbench(ctx):
        ring = rig.ring
        ctx.set(ring.go, 1)
        for slot, key in keys.items():
            await load(ctx, rig.expand, slot, key)
        assert ctx.get(rig.expand.ready) == 1 << 3 | 1 << 12
        blocks, wanted = [], []
        schedules = (Schedule.ENCRYPT, Schedule.DECRYPT, Schedule.TWEAK)
        cases = [(3, Schedule.ENCRYPT, PLAIN), (3, Schedule.DECRYPT, CIPHER)]
        cases += [
            (rng.choice((3, 12)), rng.choice(schedules), rng.randbytes(16)) for _ in range(30)
        ]
        for slot, schedule, block in cases:
            key = keys[slot][32:] if schedule == Schedule.TWEAK else keys[slot][:32]
            wanted.append(electronic_codebook(key, block, schedule))
            first = await whitening(ctx, ring, slot, schedule)
            blocks.append((slot, schedule, int.from_bytes(block, "little") ^ first))
        assert wanted[:2] == [CIPHER, PLAIN]
        done = await run_blocks(ctx, ring, blocks)
        assert [data for data, _ in done] == wanted
        assert [last for _, last in done] == [(len(blocks) - n) & 1 for n in range(len(blocks))]
        # Nothing of a key is left of a slot that is forgotten.
        await erase(ctx, rig.expand, 3)
        assert ctx.get(rig.expand.ready) == 1 << 12
        for schedule in schedules:
            assert await whitening(ctx, ring, 3, schedule) == 0
            assert await whitening(ctx, ring, 12, schedule) != 0

    simulate(rig, testbench)
