"""The AoE initiator, case by case; random traffic on a bad network is the bench's."""

import pytest

from niter.interface import BlockOpcode, BlockStatus
from niter.storage.aoe import Aoe, TargetRecord
from sim.models.aoe import SECTOR, Impairment
from tests.storage.aoe import Station
from tests.support.csr import write

READ, WRITE, FLUSH = BlockOpcode.READ, BlockOpcode.WRITE, BlockOpcode.FLUSH
#: ATA commands in frames.
ATA_READ, ATA_WRITE, ATA_FLUSH = 0x24, 0x34, 0xE7


def commands(frames):
    """ATA command, first sector and number of sectors of frames; FLUSH has no place."""
    return [(f[27], int.from_bytes(f[28:34], "little") if f[26] else 0, f[26]) for f in frames]


def test_requests_become_frames():
    station = Station()
    disk = station.target.disk

    async def run(ctx):
        await station.set_up(ctx)
        assert await station.do(ctx, 5, READ, 3, 1) == BlockStatus.OK
        assert station.memory[5] == disk[3 * SECTOR : 4 * SECTOR]
        data = station.rng.randbytes(5 * SECTOR)
        assert await station.do(ctx, 6, WRITE, 100, 5, data=data) == BlockStatus.OK
        assert disk[100 * SECTOR : 105 * SECTOR] == data
        assert await station.do(ctx, 7, BlockOpcode.WRITE_ZEROES, 101, 1) == BlockStatus.OK
        assert disk[101 * SECTOR : 102 * SECTOR] == bytes(SECTOR)
        assert await station.do(ctx, 8, FLUSH, 9, 9) == BlockStatus.OK
        assert await station.do(ctx, 9, BlockOpcode.DISCARD, 0, 9) == BlockStatus.OK
        assert await station.do(ctx, 9, BlockOpcode.VERIFY, 7, 2) == BlockStatus.OK
        assert await station.do(ctx, 9, WRITE, 1, 1, data=data[:SECTOR], fua=1) == BlockStatus.OK

    station.run(run)
    assert commands(station.frames) == [
        (ATA_READ, 3, 1),
        (ATA_WRITE, 100, 2),
        (ATA_WRITE, 102, 2),
        (ATA_WRITE, 104, 1),
        (ATA_WRITE, 101, 1),
        (ATA_FLUSH, 0, 0),
        (ATA_READ, 7, 2),
        (ATA_WRITE, 1, 1),
        (ATA_FLUSH, 0, 0),
    ]
    assert station.pushes == [(5, 0, 1)]


@pytest.mark.parametrize(("tags", "slots"), [(2, 8), (16, 8)])
def test_as_many_frames_are_under_way_as_there_are_slots(tags, slots):
    """However many tags there are, and in whichever order the answers come."""
    delays = Impairment(delay=0.3, usual=500, longest=700)
    station = Station(tags=tags, slots=slots, sectors=1, impairment=delays)
    answered, under_way = [], []

    def incoming(frame):
        under_way.append(len(station.frames) - len(answered))
        answered.append(frame)
        Station.incoming(station, frame)

    station.incoming = incoming

    async def run(ctx):
        await station.set_up(ctx, floor=100, silence=10_000)
        receive = station.dut.csr.memory_map.find("registers", "receive").start
        await write(ctx, station.dut.csr, receive, 1023)
        assert await station.do(ctx, 1, READ, 0, 60) == BlockStatus.OK
        assert station.memory[1] == station.target.disk[: 60 * SECTOR]

    station.run(run)
    assert max(under_way) == slots


def test_a_request_that_is_alone_is_sent_at_once():
    station = Station()
    waits = []

    async def run(ctx):
        await station.set_up(ctx)
        # Whichever target would have had its turn, and whatever the clock looks at.
        for number in range(40):
            await ctx.tick().repeat(60 + number)
            await station.issue(ctx, 5, READ, 3, 1)
            begin = station.bench.cycles
            while not ctx.get(station.dut.o_wire.valid):
                await ctx.tick()
            waits.append(station.bench.cycles - begin)
            assert await station.end(ctx, 5) == BlockStatus.OK

    station.run(run)
    assert min(waits) == 20 and max(waits) <= 34, waits


@pytest.mark.parametrize(
    ("receive", "together"), [(5, 1), (9, 1), (17, 1), (18, 2), (26, 2), (27, 3)]
)
def test_no_more_is_asked_for_than_there_is_room_for(receive, together):
    """Of sectors whose answers take nine units; one frame may always be under way."""
    station = Station(answer=lambda frame: None)

    async def run(ctx):
        await station.set_up(ctx)
        find = station.dut.csr.memory_map.find
        await write(ctx, station.dut.csr, find("registers", "receive").start, receive)
        for number in range(4):
            await station.issue(ctx, number, READ, number, 1)
        await ctx.tick().repeat(2000)

    station.run(run)
    assert len({first for _, first, _ in commands(station.frames)}) == together


def test_a_request_is_kept_whose_target_is_paused_while_it_is_to_be_sent_at_once():
    station = Station()
    sent = []

    async def run(ctx):
        await station.set_up(ctx)
        flags = station.dut.csr.memory_map.find("targets", "words").start + TargetRecord.FLAGS
        limits = station.target.sectors << 8 | station.target.buffers | TargetRecord.ENABLED
        for number in range(12):
            before = len(station.frames)
            await station.issue(ctx, 5, READ, number, 1)
            if number:
                await ctx.tick().repeat(number)
            await write(ctx, station.dut.csr, flags, limits | TargetRecord.PAUSED)
            await ctx.tick().repeat(200)
            sent.append(len(station.frames) > before)
            await write(ctx, station.dut.csr, flags, limits)
            assert await station.end(ctx, 5) == BlockStatus.OK

    station.run(run)
    assert False in sent and True in sent


def test_a_write_that_was_sent_again_keeps_others_away():
    kept = []
    station = Station(answer=lambda frame: answer(frame))

    def answer(frame):
        if not kept:
            kept.append(frame)
            return None
        return station.target.answer(frame)

    async def run(ctx):
        await station.set_up(ctx, floor=1)
        old, new = b"o" * 2 * SECTOR, b"n" * 2 * SECTOR
        assert await station.do(ctx, 1, WRITE, 40, 2, data=old) == BlockStatus.OK
        # Its data was pulled again, and its tag is another.
        assert station.pulls == [(1, 0, 2)] * 2
        assert station.frames[0][20:24] != station.frames[1][20:24]
        await station.issue(ctx, 2, WRITE, 41, 2, data=new)
        # What does not overlap goes on.
        await station.issue(ctx, 3, WRITE, 42, 2, data=new)
        for _ in range(1500):
            await ctx.tick()
        assert not station.ended
        station.incoming(station.target.answer(kept[0]))
        assert await station.end(ctx, 2) == BlockStatus.OK
        assert station.target.disk[40 * SECTOR : 43 * SECTOR] == old[:SECTOR] + new
        counters = await station.counters(ctx)
        assert counters["repeated"] == 1 and counters["late"] == 1 and counters["waited"]

    station.run(run)


def test_requests_of_volumes_are_counted_beside_frames():
    station = Station()
    events = [{"volume": n % 16, "refused": n % 3 == 0} for n in range(40)]
    station.bench.put(station.dut.counted, events)

    async def run(ctx):
        await station.set_up(ctx)
        for number in range(6):
            assert await station.do(ctx, number, READ, number, 2) == BlockStatus.OK
        for _ in range(300):
            await ctx.tick()
        counters = await station.counters(ctx)
        assert counters["sent"] == counters["answered"] == 6
        for volume in range(16):
            counted = await station.counters(ctx, f"volume_{volume}_")
            refused = [event["refused"] for event in events if event["volume"] == volume]
            assert counted == {"passed": refused.count(False), "refused": refused.count(True)}

    station.run(run)


def test_sectors_are_let_go_after_the_networks_lifetime():
    lost = []
    station = Station(answer=lambda frame: lost.append(frame))

    async def run(ctx):
        await station.set_up(ctx, floor=1, silence=16, lifetime=30)
        assert await station.do(ctx, 1, WRITE, 40, 2) == BlockStatus.PATH
        begin = station.bench.cycles
        station.answer = station.target.answer
        assert await station.do(ctx, 1, READ, 41, 1) == BlockStatus.OK
        assert station.bench.cycles - begin > 1200

    station.run(run)


def test_an_abort_frees_the_tag_and_not_the_sectors():
    silent = []
    station = Station(answer=lambda frame: silent.append(frame))

    async def run(ctx):
        await station.set_up(ctx, lifetime=200)
        # The window lets two of its frames go, and the others wait.
        await station.issue(ctx, 1, WRITE, 40, 16)
        await station.issue(ctx, 2, READ, 100, 1)
        for _ in range(1500):
            await ctx.tick()
        await station.abort(ctx, 1)
        assert await station.end(ctx, 1) is None
        # It was the first of its list; the one behind it goes, as soon as somebody answers.
        station.answer = station.target.answer
        assert await station.end(ctx, 2) == BlockStatus.OK
        await station.issue(ctx, 1, READ, 41, 1)
        for _ in range(600):
            await ctx.tick()
        assert 1 not in station.ended
        for frame in silent:
            station.incoming(station.target.answer(frame))
        assert await station.end(ctx, 1) == BlockStatus.OK
        # Nothing is left to be aborted.
        await station.abort(ctx, 77)
        assert await station.end(ctx, 77) is None

    station.run(run)


def test_unreadable_memory_ends_the_request_and_sends_nothing():
    station = Station()

    async def run(ctx):
        await station.set_up(ctx)
        station.broken = {4}
        assert await station.do(ctx, 4, WRITE, 8, 3) == BlockStatus.DATA_TRANSFER
        station.broken = set()
        assert await station.do(ctx, 4, WRITE, 8, 1) == BlockStatus.OK

    station.run(run)
    assert commands(station.frames) == [(ATA_WRITE, 8, 1)]


def test_jumbo_frames_give_way_to_standard_ones():
    station = Station(sectors=16, passes=1500)

    async def run(ctx):
        await station.set_up(ctx, floor=1, sectors=16)
        assert await station.do(ctx, 4, READ, 8, 5) == BlockStatus.OK
        assert station.memory[4] == station.target.disk[8 * SECTOR : 13 * SECTOR]

    # The request passes whatever its answer's size; so the answer is what is lost.
    station.answer = lambda frame: None if frame[26] > 2 else station.target.answer(frame)
    station.run(run)
    assert commands(station.frames) == [(ATA_READ, 8, 5)] * 2 + [
        (ATA_READ, 8, 2),
        (ATA_READ, 10, 2),
        (ATA_READ, 12, 1),
    ]


def test_rejects_sizes():
    with pytest.raises(ValueError, match="Slots are a power of two from 2 to 64, not 48"):
        Aoe(slots=48)
    with pytest.raises(ValueError, match="Tags are a power of two from 2 to 256, not 512"):
        Aoe(tags=512)
    with pytest.raises(ValueError, match="There are 1 to 4 ports, not 0"):
        Aoe(ports=0)
