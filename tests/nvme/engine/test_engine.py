"""The command engine from entry to completion."""

from niter.nvme.engine.decode import Opcode

from .rig import Entry, Namespace, Rig
from .target import sector


def test_reads_and_writes_a_page():
    rig = Rig(1, {(0, 1): Namespace(3, 1000)}, in_order=True)
    content = rig.rng.randbytes(4096)
    source, sink = rig.prp(4096), rig.prp(4096)
    rig.put(source, content)

    async def run(ctx):
        await rig.attach(ctx)
        await rig.submit(ctx, Entry(Opcode.WRITE, 7, 1, source.prp1, source.prp2, 40, 7))
        assert await rig.end(ctx, (0, 1, 7)) == 0
        await rig.submit(ctx, Entry(Opcode.READ, 8, 1, sink.prp1, sink.prp2, 100, 7))
        assert await rig.end(ctx, (0, 1, 8)) == 0

    rig.bench.add(run)
    rig.bench.run()
    written = b"".join(rig.target.written[3, 40 + at] for at in range(8))
    assert written == content
    host = rig.host()
    read = bytes(host[sink.prp1 + at] for at in range(4096))
    assert read == b"".join(sector(3, 100 + at) for at in range(8))
