"""The AoE initiator against targets on scapy's codec, through a network that loses frames."""

from random import Random

import cocotb
from cocotb.triggers import ClockCycles

from niter.interface import BlockOpcode, BlockStatus
from niter.storage.aoe import Aoe, TargetRecord
from sim.harness import Bench, parameter, record, rng
from sim.models.aoe import SECTOR, AoeTarget, Impairment, config_query, identify, reserve
from sim.models.block import Command
from sim.models.limits import ethernet_frames_per_second
from sim.models.streams import stalls
from sim.storage.aoe.rig import OURS, SIZE, Rig, target

BENCH = Bench(dut=Aoe, tier="slow", timeout_s=900)

#: Requests of the random test.
REQUESTS = int(parameter("requests", "2000"))


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


class Load:
    """Random requests on a small disk, and a copy of what the disk has to be.

    What is in flight does not overlap a write in flight: a host that does that gets either.
    """

    def __init__(self, rig: Rig, rand: Random, *, sectors: int = 64, longest: int = 12):
        self._rig = rig
        self._rand = rand
        self._sectors, self._longest = sectors, longest
        self.disk = bytearray(rig.target.disk)
        self._busy: list[Command] = []
        #: Ends of requests.
        self.ended = 0

    def _draw(self) -> Command | None:
        rand = self._rand
        sectors = rand.randint(1, self._longest)
        lba = rand.randrange(self._sectors - sectors)
        opcode = rand.choice(
            [BlockOpcode.READ] * 4 + [BlockOpcode.WRITE] * 4 + [BlockOpcode.WRITE_ZEROES]
        )
        reads = opcode == BlockOpcode.READ
        for other in self._busy:
            apart = other.lba >= lba + sectors or lba >= other.lba + other.sectors
            if not apart and not (reads and other.opcode == BlockOpcode.READ):
                return None
        command = Command(opcode, lba=lba, sectors=sectors, fua=rand.random() < 0.02)
        at = slice(lba * SECTOR, (lba + sectors) * SECTOR)
        if opcode == BlockOpcode.WRITE:
            command.memory[:] = rand.randbytes(sectors * SECTOR)
            self.disk[at] = command.memory
        elif opcode == BlockOpcode.WRITE_ZEROES:
            self.disk[at] = bytes(sectors * SECTOR)
        command.expected = bytes(self.disk[at])
        return command

    async def run(self, requests: int, *, at_once: int) -> None:
        """Issue so many requests, and check each."""
        clock = self._rig.dut.clk
        issued = 0
        while issued < requests or self._busy:
            for command in [busy for busy in self._busy if busy.done.is_set()]:
                self._busy.remove(command)
                self.ended += 1
                assert command.status == BlockStatus.OK, (command.opcode, command.status)
                if command.opcode == BlockOpcode.READ:
                    assert command.memory == command.expected, (command.lba, command.sectors)
            room = issued < requests and len(self._busy) < at_once
            if room and (command := self._draw()) is not None:
                self._busy.append(await self._rig.host.issue(command))
                issued += 1
                continue
            await ClockCycles(clock, 20)
        assert self.ended == requests
        assert self._rig.target.disk[: len(self.disk)] == self.disk


@cocotb.test()
@cocotb.parametrize(probability=[0.005, 0.02, 0.2])
async def nothing_is_lost_on_a_bad_network(dut, probability):
    """Random overlapping requests, while frames are lost, delayed, reordered and doubled."""
    rig = await Rig.start(
        BENCH,
        dut,
        targets=[target(sectors=4)],
        impairment=Impairment(
            drop=probability, delay=probability, double=probability, usual=200, longest=3000
        ),
        pauses=lambda name: stalls(rng(name), 0.05),
        lifetime=2 * 3300 // 256,
        silence=10_000,
    )
    # Fewer where each takes longer.
    count = int(REQUESTS * {0.005: 0.5, 0.02: 0.4, 0.2: 0.1}[probability])
    before = await rig.counters()
    begin = rig.now
    await Load(rig, rng("load", str(probability))).run(count, at_once=40)
    after = await rig.counters()
    change = {name: after[name] - before[name] for name in after}
    dut._log.info(f"{count} requests in {rig.now - begin} cycles: {change}")
    assert rig.network.lost and change["repeated"] and not change["silent"]
    assert change["answered"] <= change["sent"] + change["repeated"]


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
async def answers_that_do_not_fit(dut):
    """Short data, foreign tags, other protocols, and silence end in PATH; nothing hangs."""
    rig = await Rig.start(BENCH, dut, silence=20)
    host = rig.host

    async def ends(command=None):
        return (await host.run(command or Command(BlockOpcode.READ, lba=8, sectors=2))).status

    tampers = {
        "silence": lambda frame: None,
        "one sector too few": lambda frame: frame[:-SECTOR],
        "one sector too many": lambda frame: frame + bytes(SECTOR),
        "half a sector": lambda frame: frame[: -SECTOR // 2],
        "another generation": lambda frame: frame[:20] + bytes([frame[20] ^ 0x80]) + frame[21:],
        "another slot": lambda frame: frame[:23] + bytes([frame[23] ^ 0x01]) + frame[24:],
        "no slot at all": lambda frame: frame[:23] + bytes([frame[23] ^ 0x40]) + frame[24:],
        "a request": lambda frame: frame[:14] + b"\x10" + frame[15:],
        "version 2": lambda frame: frame[:14] + b"\x28" + frame[15:],
        "another command": lambda frame: frame[:19] + b"\x02" + frame[20:],
        "no header": lambda frame: frame[:20],
    }
    for name, tamper in tampers.items():
        rig.tamper = tamper
        assert await ends() == BlockStatus.PATH, name
        rig.tamper = lambda frame: frame
        assert await ends() == BlockStatus.OK, name
    counters = await rig.counters()
    assert counters["silent"] == len(tampers)
    assert counters["unfit"] > 0 and counters["late"] > 0
    assert await rig.control.read("registers.malformed") > 0
    # A flood of answers that nobody asked for does not keep others out.
    stray = bytes.fromhex(OURS.replace(":", "")) + bytes(6) + b"\x88\xa2\x18" + bytes(45)
    for _ in range(200):
        rig.source.put(stray)
    assert await ends() == BlockStatus.OK


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
async def another_path(dut):
    """Control pauses a target, fences the old way off, and lets the requests go another way."""
    rig = await Rig.start(BENCH, dut, silence=1000)
    host, peer = rig.host, rig.target
    rig.tamper = lambda frame: None
    data = rng("path").randbytes(8 * SECTOR)
    write = await host.issue(Command(BlockOpcode.WRITE, lba=60, sectors=8, memory=bytearray(data)))
    await ClockCycles(dut.clk, 3000)
    await rig.record(0, peer, flags=TargetRecord.ENABLED | TargetRecord.PAUSED)
    await rig.settled()
    sent = rig.sink.count
    await ClockCycles(dut.clk, 20_000)
    assert rig.sink.count == sent and not write.done.is_set()
    rig.tamper = lambda frame: frame
    # The same disk by another address.
    peer.mac = "02:00:00:00:00:08"
    await rig.record(1, peer)
    await rig.ask(1, 3, reserve(OURS, force=True))
    assert peer.reserved == [OURS]
    await rig.record(0, peer)
    await write.done.wait()
    assert write.status == BlockStatus.OK
    assert peer.disk[60 * SECTOR : 68 * SECTOR] == data


@cocotb.test()
@cocotb.parametrize(opcode=[BlockOpcode.READ, BlockOpcode.WRITE], sectors=[1, 2, 16])
async def rates(dut, opcode, sectors):
    """Requests of 8 KiB as fast as they go, on a network without loss or limit."""
    peer = target(sectors=sectors, buffers=64)
    rig = await Rig.start(BENCH, dut, targets=[peer], floor=250)
    await rig.control.write("registers.receive", units=1023)
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
