"""Headers on and off: what scapy builds is taken apart, and what is built scapy reads."""

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from niter.interface import Verdict
from niter.net import Decapsulate, Encapsulate, OverlayConfig
from sim.models.overlay import OverlayTables, Tunnel
from tests.support.csr import write
from tests.support.stream import STALLS, Bench, Packet

CONFIG = OverlayConfig(ipv6=True, geneve=True)
VTEP, VTEP6, MAC = "192.0.2.1", "2001:db8::1", "02:aa:00:00:00:01"
PEER, PEER6, PEER_MAC = "192.0.2.77", "2001:db8::77", "02:bb:00:00:00:01"
VNI = 0xABCDE5


def outer(ipv6, geneve):
    ip = IPv6(src=PEER6, dst=VTEP6) if ipv6 else IP(src=PEER, dst=VTEP)
    tunnel = GENEVE(vni=VNI, proto=0x6558) if geneve else VXLAN(vni=VNI, flags=8)
    udp = UDP(sport=50000, dport=6081 if geneve else 4789, chksum=0)
    return Ether(src=PEER_MAC, dst=MAC) / ip / udp / tunnel


def bench_of(dut, path, tables, seed=1):
    """A bench that first writes the tables below ``path``."""
    bench = Bench(dut, seed)

    async def control(ctx):
        for where, word, value in tables.writes:
            if where == path:
                await write(ctx, dut.csr, word, value)

    bench.add(control)
    return bench


def frames(data, **meta):
    return [Packet(f, sideband={"meta": {"length": len(f), **meta}}) for f in data]


@pytest.mark.parametrize("stalls", STALLS[::3])
@pytest.mark.parametrize("ipv6, geneve", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_takes_off_what_scapy_has_put_on(ipv6, geneve, stalls):
    inner = [bytes(range(n)) for n in (*range(1, 18), 61, 200)]
    head = outer(ipv6, geneve)
    dut = Decapsulate(CONFIG)
    bench = bench_of(dut, "tunnel.words", OverlayTables(CONFIG))
    first = frames([bytes(20)] * 20)
    bench.send(dut.i, first + frames([bytes(head / f) for f in inner]), stall=stalls[0])
    out = bench.receive(dut.o, len(first) + len(inner), stall=stalls[1])
    bench.run()
    taken = out[len(first) :]
    assert {p.sideband["meta"].verdict for p in taken} == {Verdict.PASS}, [
        str(p.sideband["meta"].verdict) for p in taken
    ]
    assert [p.data for p in taken] == inner
    assert {p.sideband["meta"].verdict for p in taken} == {Verdict.PASS}
    assert [p.sideband["meta"].length for p in taken] == [len(f) for f in inner]
    assert {p.sideband["meta"].vni for p in taken} == {VNI}


@pytest.mark.parametrize("ipv6", [0, 1])
def test_cut_off_at_every_byte(ipv6):
    whole = bytes(outer(ipv6, 1) / b"frame")
    dut = Decapsulate(CONFIG)
    bench = bench_of(dut, "tunnel.words", OverlayTables(CONFIG))
    first = frames([bytes(20)] * 20)
    data = [d for n in range(1, len(whole)) for d in (whole[:n], whole)]
    bench.send(dut.i, first + frames(data))
    out = bench.receive(dut.o, len(first) + len(data))
    bench.run()
    taken = out[len(first) :]
    assert {p.sideband["meta"].verdict for p in taken[0::2]} == {Verdict.MALFORMED}
    assert [p.data for p in taken[1::2]] == [b"frame"] * (len(whole) - 1)


@pytest.mark.parametrize("stalls", STALLS[::3])
@pytest.mark.parametrize("ipv6", [0, 1])
def test_puts_on_what_scapy_reads(ipv6, stalls):
    tables = OverlayTables(CONFIG, mac=MAC, ipv4=VTEP, ipv6=VTEP6)
    tables.tunnel(Tunnel(PEER, PEER_MAC))
    tables.tunnel(Tunnel(PEER6 if ipv6 else PEER, PEER_MAC, port=2))
    dut = Encapsulate(CONFIG)
    bench = bench_of(dut, "transmit.encapsulate.words", tables)
    inner = [bytes(range(n)) for n in (*range(1, 18), 61, 200)]
    meta = {"tunnel": 1, "vni": VNI, "headers": {"tos": 0xB9}}
    first = frames([bytes(20)] * 60, local=1)
    bench.send(dut.i, first + frames(inner, **meta), stall=stalls[0])
    out = bench.receive(dut.o, len(first) + len(inner), stall=stalls[1])
    bench.run()
    assert [p.data for p in out[: len(first)]] == [p.data for p in first]
    for packet, frame in zip(out[len(first) :], inner, strict=True):
        found = Ether(packet.data)
        ip = found[IPv6] if ipv6 else found[IP]
        assert (found.dst, found.src) == (PEER_MAC, MAC)
        assert (ip.tc if ipv6 else ip.tos) == 0xB9
        assert (ip.plen + 54 if ipv6 else ip.len + 14) == len(packet.data)
        if not ipv6:
            sent = ip.chksum
            del ip.chksum
            assert IP(bytes(ip)).chksum == sent
        assert found[UDP].len == len(frame) + 16
        assert found[VXLAN].vni == VNI
        assert bytes(found[VXLAN].payload) == frame
        assert packet.sideband["meta"].length == len(packet.data)
        assert packet.sideband["meta"].port == 2


@pytest.mark.parametrize("ipv6", [0, 1])
def test_believes_only_known_endpoints(ipv6):
    config = OverlayConfig(ipv6=True, peers=16)
    tables = OverlayTables(config)
    known = ["2001:db8::77", "2001:db8:1::78"] if ipv6 else ["192.0.2.77", "192.0.2.81", "9.9.9.5"]
    strangers = (
        ["2001:db8::78", "2002:db8::77", "2001:db8:1::79", "::c000:24d"]
        if ipv6
        else ["192.0.2.78", "193.0.2.77", "192.0.2.93", "0.0.0.0"]
    )
    for address in known:
        tables.peer(address)
    dut = Decapsulate(config)
    bench = Bench(dut, 1)
    at = {".".join(info.path): info.start for info in dut.csr.memory_map.all_resources()}

    async def control(ctx):
        for where, word, value in tables.writes:
            name = where.removeprefix("tunnel.")
            if name in at:
                await write(ctx, dut.csr, at[name] + word, value)

    bench.add(control)
    first = frames([bytes(20)] * 40)
    sources = [*known, *strangers, *known]
    ip = IPv6(dst=VTEP6) if ipv6 else IP(dst=VTEP)
    head = UDP(sport=50000, dport=4789, chksum=0) / VXLAN(vni=VNI, flags=8) / b"frame"
    data = []
    for address in sources:
        ip.src = address
        data.append(bytes(Ether(src=PEER_MAC, dst=MAC) / ip / head))
    bench.send(dut.i, first + frames(data))
    out = bench.receive(dut.o, len(first) + len(data))
    bench.run()
    verdicts = [p.sideband["meta"].verdict for p in out[len(first) :]]
    assert verdicts == [
        Verdict.PASS if address in known else Verdict.UNKNOWN_ENDPOINT for address in sources
    ]
