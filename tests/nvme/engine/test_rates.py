"""How many cycles commands take, against a target that is at once ready."""

from niter.nvme.engine.decode import Opcode

from .rig import Entry, Namespace, Rig

#: Cycles of a 512-byte command at 2.5 GT/s: 357,000 a second at 62.5 MHz.
SMALL = 175


def times(commands, opcode, sectors, **options):
    """Send so many commands, one after the other without a pause.

    Returns the cycles at which they began and ended.
    """
    rig = Rig(3, {(0, 1): Namespace(1, 1 << 30)}, in_order=True, longest=1, again=0, **options)
    entries = []
    for number in range(commands):
        prp = rig.prp(512 * sectors)
        if opcode == Opcode.WRITE:
            rig.put(prp, rig.rng.randbytes(512 * sectors))
        entries.append(Entry(opcode, number, 1, prp.prp1, prp.prp2, number * sectors, sectors - 1))

    begun = []

    async def run(ctx):
        await rig.attach(ctx)
        for entry in entries:
            begun.append(rig.bench.cycles)
            await rig.submit(ctx, entry)
        for entry in entries:
            assert await rig.end(ctx, (0, 1, entry.cid)) == 0

    rig.bench.add(run)
    rig.bench.run(limit=60_000)
    return begun, sorted(cycle for _, cycle in rig.completions.values())


def pace(ended):
    """Cycles from one end to the next, when the first few have gone."""
    return (ended[-1] - ended[4]) / (len(ended) - 5)


def test_a_command_without_data_takes_40_cycles():
    _, ended = times(25, Opcode.FLUSH, 1)
    print("flush", pace(ended))
    assert pace(ended) <= 40


def test_small_reads_are_as_fast_as_the_link():
    _, ended = times(25, Opcode.READ, 1)
    print("read 512", pace(ended))
    # 64 beats of data, and the model's cycle between two of its packets.
    assert pace(ended) <= 80 < SMALL


def test_a_read_takes_little_beside_its_data():
    (begun,), (ended,) = times(1, Opcode.READ, 1)
    print("latency read 512", ended - begun)
    # 250 cycles, 4 us, are the card's share, that of the queues included.
    assert ended - begun <= 64 + 60


def test_large_reads_keep_the_link_busy():
    """At 5 GT/s 16 beats leave in 19 cycles at most."""
    _, ended = times(9, Opcode.READ, 8)
    print("read 4096", pace(ended))
    assert pace(ended) <= 512 * 19 / 16


def test_large_writes_keep_the_link_busy():
    _, ended = times(9, Opcode.WRITE, 8, latency=60)
    print("write 4096", pace(ended))
    assert pace(ended) <= 512 * 19 / 16
