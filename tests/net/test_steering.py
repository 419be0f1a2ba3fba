"""Who gets which frame from the wire, and that all get to it."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from niter.net import Steering
from tests.support.csr import read, write
from tests.support.stream import SEEDS, STALLS, Bench, Packet

OWN, OWN_IP, PEER, PEER_IP, PORT = (
    "02:aa:00:00:00:09",
    "192.0.2.9",
    "02:bb:00:00:00:01",
    "192.0.2.77",
    7777,
)
OTHER = "02:aa:00:00:00:08"
TO_US = Ether(src=PEER, dst=OWN) / IP(src=PEER_IP, dst=OWN_IP)
ASK = Ether(src=PEER, dst="ff:ff:ff:ff:ff:ff")

KINDS = [
    (TO_US / UDP(dport=PORT) / b"request", "management"),
    (TO_US / ICMP() / b"ping", "management"),
    (ASK / ARP(op=1, psrc=PEER_IP, pdst=OWN_IP), "management"),
    (Ether(src=PEER, dst=OWN) / ARP(op=2, psrc=PEER_IP, pdst=OWN_IP), "management"),
    (Ether(src=PEER, dst=OWN, type=0x88A2) / bytes(50), "storage"),
    (Ether(src=PEER, dst=OTHER, type=0x88A2) / bytes(300), "storage"),
    (TO_US / UDP(dport=PORT + 1), "overlay"),
    (TO_US / UDP(dport=4789) / VXLAN(vni=5, flags=8) / bytes(200), "overlay"),
    (TO_US / TCP(dport=PORT), "overlay"),
    (Ether(src=PEER, dst=OTHER) / IP(dst=OWN_IP) / UDP(dport=PORT), "overlay"),
    (Ether(src=PEER, dst=OWN) / IP(dst="192.0.2.8") / UDP(dport=PORT), "overlay"),
    (Ether(src=PEER, dst=OWN) / IP(dst="192.1.2.9") / UDP(dport=PORT), "overlay"),
    (Ether(src=PEER, dst=OWN) / IP(dst=OWN_IP, frag=5) / UDP(dport=PORT), "overlay"),
    (ASK / ARP(op=1, psrc=PEER_IP, pdst="192.0.2.8"), "overlay"),
    (ASK / ARP(op=1, psrc=PEER_IP, pdst="193.0.2.9"), "overlay"),
    (Ether(src=PEER, dst=OWN, type=0x88B5) / bytes(46), "overlay"),
]


def configured(dut, seed, *, enable=True):
    bench = Bench(dut, seed)
    at = {info.path[-1]: info.start for info in dut.csr.memory_map.all_resources()}

    async def control(ctx):
        own = int(OWN.replace(":", ""), 16)
        await write(ctx, dut.csr, at["mac_low"], own & 0xFFFFFFFF)
        await write(ctx, dut.csr, at["mac_high"], own >> 32)
        address = int.from_bytes(bytes(map(int, OWN_IP.split("."))), "big")
        await write(ctx, dut.csr, at["ipv4"], address)
        await write(ctx, dut.csr, at["listener"], PORT | enable << 16)

    bench.add(control)
    return bench, at


def warm_up():
    """Frames that the registers may still be written behind."""
    return [(bytes(60), "overlay")] * 2


def packets(frames):
    return [Packet(f, sideband={"meta": {"length": len(f)}}) for f in frames]


@pytest.mark.parametrize("stalls", STALLS[::3])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_frame_goes_where_it_belongs_and_in_order(seed, stalls):
    dut = Steering()
    bench, _ = configured(dut, seed)
    rng = random.Random(seed)
    frames = [(bytes(f).ljust(60, b"\0"), where) for f, where in rng.sample(KINDS * 2, 20)]
    frames = warm_up() + frames
    bench.send(dut.i_wire, packets(f for f, _ in frames), stall=stalls[0])
    outs = {}
    for name in ("overlay", "management", "storage"):
        count = sum(where == name for _, where in frames)
        stall = stalls[1] if name == "overlay" else 0
        outs[name] = bench.receive(getattr(dut, f"o_{name}"), count, stall=stall)
    bench.run()
    for name, out in outs.items():
        assert [p.data for p in out] == [f for f, where in frames if where == name]


def test_no_listener_gets_nothing():
    dut = Steering()
    bench, _ = configured(dut, 1, enable=False)
    frames = [bytes(f).ljust(60, b"\0") for f, where in KINDS if where == "management"]
    bench.send(dut.i_wire, packets(frames))
    out = bench.receive(dut.o_overlay, len(frames))
    bench.run()
    assert [p.data for p in out] == frames


def test_a_service_that_has_no_room_holds_nobody_back():
    dut = Steering()
    bench, at = configured(dut, 1)
    mixed = warm_up() + [(bytes(f).ljust(60, b"\0"), where) for f, where in KINDS] * 2
    bench.send(dut.i_wire, packets(f for f, _ in mixed))
    count = sum(where == "overlay" for _, where in mixed)
    out = bench.receive(dut.o_overlay, count)
    lost = []

    async def look(ctx):
        while len(out) < count:
            await ctx.tick()
        await ctx.tick().repeat(20)
        lost.append(await read(ctx, dut.csr, at["dropped"]))

    bench.add(look)
    bench.run()
    assert [p.data for p in out] == [f for f, where in mixed if where == "overlay"]
    assert lost == [8 | 4 << 16]


def test_all_get_to_the_wire():
    dut = Steering()
    bench = Bench(dut, 1)
    sent = {}
    for n, name in enumerate(("overlay", "management", "storage")):
        sent[name] = [bytes([n]) * 60 for _ in range(10)]
        bench.send(getattr(dut, f"i_{name}"), packets(sent[name]))
    out = bench.receive(dut.o_wire, 30)
    bench.run()
    assert sorted(p.data for p in out) == sorted(f for frames in sent.values() for f in frames)


def test_without_services_it_is_a_wire():
    dut = Steering(())
    bench = Bench(dut, 1)
    frames = [bytes(60)] * 10
    bench.send(dut.i_wire, packets(frames))
    out = bench.receive(dut.o_overlay, 10)
    cycles = bench.run()
    assert len(out) == 10 and cycles < 90


@pytest.mark.parametrize("services", [("mail",), ("storage", "storage")])
def test_refuses_unknown_services(services):
    with pytest.raises(ValueError, match="Services are some of management, storage, not"):
        Steering(services)
