"""Datagrams that decapsulation is not to take: those of the bench, in seconds."""

import pytest
from scapy.utils import checksum

from niter.interface import Verdict
from niter.net import Decapsulate
from sim.models.overlay import OverlayTables
from sim.net.overlay.rejection import INBOUND, outer_variants
from sim.net.overlay.setup import CONFIGS, PEER6, VTEP, VTEP6, VTEP_MAC, datagram
from tests.support.csr import write
from tests.support.stream import STALLS, Bench, Packet

#: Reasons that only stages behind find.
LATER = ("unknown_vni", "unknown_destination")


def arriving(frame):
    data = bytes(frame)
    sums = (~checksum(data) & 0xFFFF, 0)
    return Packet(data, sideband={"meta": {"length": len(data), "sums": sums}})


@pytest.mark.parametrize("stalls", STALLS[::3])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_first_reason_that_is_met(name, stalls):
    config = CONFIGS[name]
    tables = OverlayTables(config, mac=VTEP_MAC, ipv4=VTEP, ipv6=VTEP6)
    if config.peers:
        tables.peer("192.0.2.77")
        tables.peer(PEER6)
    cases = outer_variants(config.ipv6, config.geneve, config.verify, config.peers)
    # The last of those over IPv4 has a frame inside that is malformed itself.
    cases = [case for case in cases if b"\xff\xff" not in bytes(case[0])[60:70]]
    dut = Decapsulate(config)
    bench = Bench(dut, 1)
    at = {".".join(info.path): info.start for info in dut.csr.memory_map.all_resources()}

    async def control(ctx):
        for where, word, value in tables.writes:
            if where.startswith("tunnel."):
                await write(ctx, dut.csr, at[where.removeprefix("tunnel.")] + word, value)

    bench.add(control)
    good = arriving(datagram(INBOUND))
    first = [arriving(bytes(20))] * 60
    bench.send(
        dut.i,
        first + [packet for frame, _ in cases for packet in (arriving(frame), good)],
        stall=stalls[0],
    )
    out = bench.receive(dut.o, len(first) + 2 * len(cases), stall=stalls[1])
    bench.run(limit=40_000)
    verdicts = [Verdict(packet.sideband["meta"].verdict) for packet in out[len(first) :]]
    for (frame, reason), verdict in zip(cases, verdicts[::2], strict=True):
        expected = "pass" if reason in (None, *LATER) else reason
        assert verdict.name.lower() == expected, frame
    assert set(verdicts[1::2]) == {Verdict.PASS}
    assert {packet.data for packet in out[len(first) + 1 :: 2]} == {bytes(INBOUND)}
