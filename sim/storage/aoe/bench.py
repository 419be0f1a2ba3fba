"""The AoE initiator against targets on scapy's codec; bad networks and targets are ``relay``'s and
``tests/storage``'s."""

import cocotb
from cocotb.triggers import ClockCycles

from niter.interface import BlockOpcode, BlockStatus
from niter.storage.aoe import Aoe
from sim.harness import Bench, record, rng
from sim.models.aoe import SECTOR, AoeTarget, config_query, identify, reserve
from sim.models.block import Command
from sim.models.limits import ethernet_frames_per_second
from sim.storage.aoe.rig import OURS, SIZE, Rig, target

BENCH = Bench(dut=Aoe, tier="slow", timeout_s=900)


@cocotb.test()
async def one_of_each(dut):
    """A read, a write, and everything else that a request may ask for."""
    rig = await Rig.start(BENCH, dut)
    host, disk = rig.host, rig.target.disk
    read = await host.run(Command(BlockOpcode.READ, lba=3, sectors=1))
    assert read.status == BlockStatus.OK and read.memory == disk[3 * SECTOR : 4 * SECTOR]
    data = rng("data").randbytes(9 * SECTOR)
    write = Command(BlockOpcode.WRITE, lba=100, sectors=9, memory=bytearray(data))
    assert (await host.run(write)).status == BlockStatus.OK
    assert disk[100 * SECTOR : 109 * SECTOR] == data and not rig.target.flushes
    again = await host.run(Command(BlockOpcode.READ, lba=99, sectors=11))
    assert again.memory == disk[99 * SECTOR : 110 * SECTOR]
    for opcode in (BlockOpcode.FLUSH, BlockOpcode.DISCARD, BlockOpcode.VERIFY):
        done = await host.run(Command(opcode, lba=99, sectors=11))
        assert done.status == BlockStatus.OK and not done.pushed
    assert rig.target.flushes == 1
    zeroes = await host.run(Command(BlockOpcode.WRITE_ZEROES, lba=101, sectors=5))
    assert zeroes.status == BlockStatus.OK
    expected = data[:SECTOR] + bytes(5 * SECTOR) + data[6 * SECTOR :]
    assert disk[100 * SECTOR : 109 * SECTOR] == expected
    fua = Command(BlockOpcode.WRITE, lba=7, sectors=3, fua=True, memory=bytearray(data[:1536]))
    assert (await host.run(fua)).status == BlockStatus.OK
    assert rig.target.flushes == 2


@cocotb.test()
async def errors_have_names(dut):
    """What a target can answer, and what a request can ask, each with the status that it gets."""
    rig = await Rig.start(BENCH, dut)
    host, peer = rig.host, rig.target

    async def status(opcode=BlockOpcode.READ, **fields):
        return (await host.run(Command(opcode, **{"lba": 0, "sectors": 4, **fields}))).status

    peer.bad = {2}
    assert await status() == BlockStatus.MEDIUM
    assert await status(BlockOpcode.WRITE) == BlockStatus.MEDIUM
    assert await status(lba=4) == BlockStatus.OK
    peer.bad = set()
    assert await status(lba=SIZE - 1) == BlockStatus.MEDIUM
    peer.reserved = ["02:00:00:00:00:99"]
    assert await status() == BlockStatus.RESERVED
    peer.reserved = [OURS]
    assert await status() == BlockStatus.OK
    for code, expected in (
        (1, BlockStatus.UNSUPPORTED),
        (2, BlockStatus.INTERNAL),
        (3, BlockStatus.PATH),
        (4, BlockStatus.INTERNAL),
        (5, BlockStatus.UNSUPPORTED),
        (6, BlockStatus.RESERVED),
        (77, BlockStatus.INTERNAL),
    ):
        # The error bit, the code, and nothing of the data.
        rig.tamper = lambda frame, code=code: frame[:14] + bytes([0x1C, code]) + frame[16:36]
        assert await status() == expected, code
    rig.tamper = lambda frame: frame
    assert await status(volume=5) == BlockStatus.NO_VOLUME
    assert await status(lba=(1 << 48) - 4) == BlockStatus.OUT_OF_RANGE
    assert await status(lba=1 << 48) == BlockStatus.OUT_OF_RANGE
    assert await status(lba=(1 << 48) - 5) == BlockStatus.MEDIUM
    assert await status(opcode=6) == BlockStatus.UNSUPPORTED
    assert await status(sectors=0) == BlockStatus.INTERNAL
    assert await status(BlockOpcode.WRITE, broken=True) == BlockStatus.DATA_TRANSFER
    assert await status() == BlockStatus.OK
    await rig.record(0, peer, flags=0)
    await rig.settled()
    assert await status() == BlockStatus.PATH


@cocotb.test()
async def aborts(dut):
    """An abort ends a request wherever it is; its tag is free, the sectors are not yet."""
    rig = await Rig.start(BENCH, dut, silence=1000, lifetime=15)
    host, rand = rig.host, rng("aborts")
    data = {}
    for turn in range(60):
        command = Command(rand.choice([BlockOpcode.READ, BlockOpcode.WRITE]), lba=16, sectors=8)
        command.memory[:] = rand.randbytes(8 * SECTOR)
        others = [
            await host.issue(Command(BlockOpcode.READ, lba=n, sectors=4)) for n in (64, 70, 80)
        ]
        await host.issue(command)
        others += [await host.issue(Command(BlockOpcode.READ, lba=n, sectors=4)) for n in (90,)]
        if turn % 3 == 0:
            rig.tamper = lambda frame: None
        await ClockCycles(dut.clk, rand.randrange(900))
        before = rig.now
        await host.abort(command)
        assert rig.now - before < 3000
        rig.tamper = lambda frame: frame
        data[turn] = command
        for other in others:
            await other.done.wait()
            assert other.status == BlockStatus.OK
        # Behind the abort, the same sectors: what is written now stays.
        content = rand.randbytes(8 * SECTOR)
        await host.run(Command(BlockOpcode.WRITE, lba=16, sectors=8, memory=bytearray(content)))
        read = await host.run(Command(BlockOpcode.READ, lba=16, sectors=8))
        assert read.memory == content
    assert any(command.aborted for command in data.values())
    await host.abort(Command(BlockOpcode.READ, tag=host._free.pop()))


@cocotb.test()
async def a_late_copy_does_no_harm(dut):
    """The copy of a write that was sent again arrives when it may; newer data is not spoilt."""
    rig = await Rig.start(BENCH, dut, lifetime=30)
    host, peer = rig.host, rig.target
    kept = []
    answer = peer.answer

    def lossy(frame):
        # The first copy stays in the network.
        if frame[27] == 0x34 and not kept:
            kept.append(frame)
            return None
        return answer(frame)

    peer.answer = lossy
    old = Command(BlockOpcode.WRITE, lba=40, sectors=2, memory=bytearray(b"o" * 1024))
    assert (await host.run(old)).status == BlockStatus.OK and kept
    peer.answer = answer
    new = await host.issue(
        Command(BlockOpcode.WRITE, lba=41, sectors=2, memory=bytearray(b"n" * 1024))
    )
    await ClockCycles(dut.clk, 2000)
    assert not new.done.is_set(), "it did not wait for the copy"
    rig.to_card(answer(kept[0]))
    await new.done.wait()
    assert peer.disk[40 * SECTOR : 43 * SECTOR] == b"o" * 512 + b"n" * 1024
    assert (await rig.counters())["waited"] > 0


@cocotb.test()
async def control_asks(dut):
    """Discovery, identity and reservation by way of the query registers."""
    rig = await Rig.start(BENCH, dut)
    everybody = AoeTarget(0xFFFF, 0xFF, "ff:ff:ff:ff:ff:ff", bytearray())
    await rig.record(15, everybody, flags=0)
    await rig.settled()
    answer = await rig.ask(15, 1, config_query())
    peer = rig.target
    assert answer[6:12] == bytes.fromhex(peer.mac.replace(":", ""))
    assert int.from_bytes(answer[16:18], "big") == peer.shelf and answer[18] == peer.slot
    assert int.from_bytes(answer[24:26], "big") == peer.buffers and answer[28] == peer.sectors
    identity = (await rig.ask(0, 0, identify()))[36:]
    assert int.from_bytes(identity[200:208], "little") == SIZE
    await rig.ask(0, 3, reserve("02:00:00:00:00:99"))
    assert peer.reserved == ["02:00:00:00:00:99"]
    refused = await rig.ask(0, 3, reserve(OURS))
    assert refused[14] & 0x4 and refused[15] == 6
    await rig.ask(0, 3, reserve(OURS, force=True))
    assert peer.reserved == [OURS]
    done = await rig.host.run(Command(BlockOpcode.READ, lba=0, sectors=2))
    assert done.status == BlockStatus.OK
    assert await rig.ask(1, 1, config_query()) is None


@cocotb.test()
@cocotb.parametrize((("passes", "largest"), [(9000, 16), (1500, 2)]))
async def jumbo_frames_and_the_way_back(dut, passes, largest):
    """Sixteen sectors a frame where they pass; two where they do not, and no request is lost."""
    rig = await Rig.start(BENCH, dut, targets=[target(sectors=16, passes=passes)], silence=5000)
    sizes = set()
    answer = rig.target.answer

    def watch(frame, answer=answer, sizes=sizes):
        sizes.add(frame[26])
        return answer(frame)

    rig.target.answer = watch
    data = rng("jumbo").randbytes(41 * SECTOR)
    write = Command(BlockOpcode.WRITE, lba=20, sectors=41, memory=bytearray(data))
    assert (await rig.host.run(write)).status == BlockStatus.OK
    read = await rig.host.run(Command(BlockOpcode.READ, lba=20, sectors=41))
    assert read.status == BlockStatus.OK and read.memory == data
    assert largest in sizes
    sizes.clear()
    await rig.host.run(Command(BlockOpcode.READ, lba=20, sectors=41))
    assert max(sizes) == largest


@cocotb.test()
@cocotb.parametrize(opcode=[BlockOpcode.READ, BlockOpcode.WRITE], sectors=[1, 2, 16])
async def rates(dut, opcode, sectors):
    """Requests of 8 KiB as fast as they go, on a network without loss or limit."""
    peer = target(sectors=sectors, buffers=64)
    rig = await Rig.start(BENCH, dut, targets=[peer], floor=250)
    await rig.control.write("registers.receive", value=1023)
    count = 60
    commands = [Command(opcode, lba=16 * (n % 31), sectors=16) for n in range(count)]
    for command in commands[:20]:
        await rig.host.run(command)
    begin = rig.now
    for command in commands[20:]:
        await rig.host.issue(command)
    for command in commands[20:]:
        await command.done.wait()
        assert command.status == BlockStatus.OK
    size = sectors * SECTOR
    record(
        f"aoe_{opcode.name.lower()}_{sectors}",
        bytes=(count - 20) * 16 * SECTOR,
        frames=(count - 20) * 16 // sectors,
        cycles=rig.now - begin,
        limit=ethernet_frames_per_second(size + 36) * size * 8 / 1e9,
    )
