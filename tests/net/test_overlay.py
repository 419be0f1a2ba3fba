"""The whole overlay on a few frames, in seconds: its bench is ``sim/net/overlay``."""

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from niter.net import Overlay, OverlayConfig
from sim.models.overlay import OverlayTables, Tunnel, fill_checksums
from tests.support.csr import write
from tests.support.stream import STALLS, Bench, Packet

OWN, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:77"
VTEP, VTEP_MAC, PEER, PEER_MAC = "192.0.2.1", "02:aa:00:00:00:01", "192.0.2.77", "02:bb:00:00:00:01"
VTEP6, PEER6 = "2001:db8::1", "2001:db8::77"
EVERYBODY, VNI = "ff:ff:ff:ff:ff:ff", 0xABCDE5


def packet(frame, **meta):
    data = bytes(frame)
    return Packet(data, sideband={"meta": {"length": len(data), **meta}})


def outer(src, dst, src_ip, dst_ip):
    udp = UDP(sport=50000, dport=4789, chksum=0)
    return Ether(src=src, dst=dst) / IP(src=src_ip, dst=dst_ip) / udp / VXLAN(vni=VNI, flags=8)


class TablesFirst(Bench):
    """Begins when the tables have been written."""

    def __init__(self, dut, seed, tables):
        super().__init__(dut, seed)
        self.written = False
        resources = dut.csr.memory_map.all_resources()
        at = {".".join(map(str, info.path)): info.start for info in resources}

        async def control(ctx):
            for where, word, value in tables.writes:
                await write(ctx, dut.csr, at[where] + word, value)
            self.written = True

        super().add(control)

    def add(self, process):
        async def run(ctx):
            while not self.written:
                await ctx.tick()
            await process(ctx)

        super().add(run)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("stalls", STALLS[-1:])
def test_frames_leave_arrive_and_are_answered(ipv6, stalls):
    config = OverlayConfig(functions=2, ipv6=ipv6, slots=64, tunnels=4, replay_beats=32)
    tables = OverlayTables(config, mac=VTEP_MAC, ipv4=VTEP, ipv6=VTEP6)
    tables.port(0, OWN, VNI, ("10.0.0.1",))
    tables.forward(VNI, OTHER, tables.tunnel(Tunnel(PEER, PEER_MAC)))
    tables.neighbour(VNI, "10.0.0.77", OTHER)
    dut = Overlay(config)
    bench = TablesFirst(dut, 1, tables)
    out = Ether(src=OWN, dst=OTHER) / IP(src="10.0.0.1", dst="10.0.0.77") / UDP() / bytes(40)
    forged = Ether(src=OWN, dst=OTHER) / IP(src="10.0.0.2", dst="10.0.0.77") / UDP() / bytes(40)
    asks = ARP(op=1, hwsrc=OWN, psrc="10.0.0.1", pdst="10.0.0.77")
    tells = ARP(op=2, hwsrc=OTHER, psrc="10.0.0.77", hwdst=OWN, pdst="10.0.0.1")
    back = Ether(src=OTHER, dst=OWN) / IP(src="10.0.0.77", dst="10.0.0.1") / UDP() / bytes(300)
    outer_asks = ARP(op=1, hwsrc=PEER_MAC, psrc=PEER, pdst=VTEP)
    outer_tells = ARP(op=2, hwsrc=VTEP_MAC, psrc=VTEP, hwdst=PEER_MAC, pdst=PEER)
    hosts = [out, forged, Ether(src=OWN, dst=EVERYBODY) / asks, out]
    question = Ether(src=PEER_MAC, dst=EVERYBODY) / outer_asks / bytes(18)
    expected = {
        bytes(Ether(src=OTHER, dst=OWN) / tells),
        bytes(Ether(src=VTEP_MAC, dst=PEER_MAC) / outer_tells),
    }
    wires = [
        outer(PEER_MAC, VTEP_MAC, PEER, VTEP) / back,
        # A question that is too short is none.
        bytes(question)[:41],
        question,
        outer(PEER_MAC, VTEP_MAC, PEER, VTEP) / back,
    ]
    if ipv6:
        solicits = IPv6(src=PEER6, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=VTEP6)
        advertises = IPv6(src=VTEP6, dst=PEER6, hlim=255) / ICMPv6ND_NA(tgt=VTEP6, R=0, S=1, O=1)
        advertises /= ICMPv6NDOptDstLLAddr(lladdr=VTEP_MAC)
        solicitation = bytes(Ether(src=PEER_MAC, dst="33:33:ff:00:00:01") / solicits)
        expected.add(bytes(Ether(src=VTEP_MAC, dst=PEER_MAC) / advertises))
        # One that is cut is malformed; one may be padded.
        wires[1:1] = [solicitation[:-1], solicitation + b"x"]
    bench.send(dut.i_host, [packet(frame, function=0) for frame in hosts], stall=stalls[0])
    bench.send(dut.i_wire, [packet(frame, port=0) for frame in wires], stall=stalls[0])
    to_wire = bench.receive(dut.o_wire, 2 + len(expected), stall=stalls[1])
    to_host = bench.receive(dut.o_host, 2, stall=stalls[1])
    bench.run()

    sent = [fill_checksums(each.data, each.sideband["meta"]) for each in to_wire]
    wrapped = [Ether(data) for data in sent if data[12:14] == b"\x08\x00"]
    assert {data for data in sent if data[12:14] != b"\x08\x00"} == expected
    assert len(wrapped) == 2
    for frame in wrapped:
        assert (frame[IP].src, frame[IP].dst, frame[VXLAN].vni) == (VTEP, PEER, VNI)
        assert bytes(frame[VXLAN].payload) == bytes(out)
    assert [each.data for each in to_host] == [bytes(back)] * 2
    assert {each.sideband["meta"].function for each in to_host} == {0}


@pytest.mark.parametrize("stalls", STALLS[::3])
def test_a_broadcast_goes_to_every_member_and_comes_to_every_function(stalls):
    config = OverlayConfig(functions=3, slots=64, tunnels=4, replay_beats=16)
    tables = OverlayTables(config, mac=VTEP_MAC, ipv4=VTEP)
    others = [f"02:00:00:00:00:0{n}" for n in (2, 3)]
    for number, owner in enumerate([OWN, *others]):
        tables.port(number, owner, VNI, (f"10.0.0.{number + 1}",))
    peers = ["192.0.2.80", "192.0.2.81"]
    members = [tables.tunnel(Tunnel(peer, PEER_MAC)) for peer in peers]
    tables.replicas(0, [members[0], None, members[1]])
    tables.forward(VNI, OTHER, members[0])
    dut = Overlay(config)
    bench = TablesFirst(dut, 1, tables)
    head = Ether(src=OWN, dst=EVERYBODY) / IP(src="10.0.0.1", dst="10.0.0.255") / UDP()
    longest = 8 * (config.replay_beats - 1)
    frames = [bytes(head / bytes(size - 42)) for size in (60, longest, 61)]
    # One that is too long to be sent more than once is not sent at all; unicast may be longer.
    too_long = bytes(head / bytes(longest - 41))
    alone = Ether(src=OWN, dst=OTHER) / IP(src="10.0.0.1", dst="10.0.0.77") / UDP() / bytes(400)
    hosts = [frames[0], too_long, frames[1], alone, frames[2]]
    bench.send(dut.i_host, [packet(each, function=0) for each in hosts], stall=stalls[0])
    back = Ether(src=OTHER, dst=EVERYBODY) / IP(src="10.0.0.77", dst="10.0.0.255") / UDP()
    arriving = [bytes(back / bytes(size - 42)) for size in (60, longest, 75)]
    wires = [outer(PEER_MAC, VTEP_MAC, PEER, VTEP) / each for each in arriving]
    bench.send(dut.i_wire, [packet(each, port=0) for each in wires], stall=stalls[0])
    to_wire = bench.receive(dut.o_wire, 10, stall=stalls[1])
    to_host = bench.receive(dut.o_host, 9, stall=stalls[1])
    bench.run(limit=8000)

    left = [fill_checksums(each.data, each.sideband["meta"]) for each in to_wire]
    local = [bool(each.sideband["meta"].local) for each in to_wire]
    expected = [(frame, place) for frame in frames for place in (peers[0], None, peers[1])]
    expected.insert(6, (bytes(alone), peers[0]))
    for data, here, (frame, place) in zip(left, local, expected, strict=True):
        assert here == (place is None)
        if not here:
            assert Ether(data)[IP].dst == place
            data = bytes(Ether(data)[VXLAN].payload)
        assert data == frame
    came = [(each.data, each.sideband["meta"].function) for each in to_host]
    assert came == [(frame, function) for frame in arriving for function in range(3)]


def test_a_frame_that_stops_halfway_holds_up_its_own_direction_alone():
    config = OverlayConfig(functions=2, slots=64, tunnels=4, replay_beats=32)
    tables = OverlayTables(config, mac=VTEP_MAC, ipv4=VTEP)
    tables.port(0, OWN, VNI, ("10.0.0.1",))
    dut = Overlay(config)
    bench = TablesFirst(dut, 1, tables)
    begun = []

    async def begin_and_stop(ctx):
        await bench._put(ctx, dut.i_host, {"packet": {"data": 1}, "meta": {"length": 60}})
        begun.append(True)

    bench.add(begin_and_stop)
    back = Ether(src=OTHER, dst=OWN) / IP(src="10.0.0.77", dst="10.0.0.1") / UDP() / bytes(80)
    frames = [packet(outer(PEER_MAC, VTEP_MAC, PEER, VTEP) / back, port=0)] * 3
    bench.send(dut.i_wire, frames, stall=0.7)
    to_host = bench.receive(dut.o_host, 3)
    bench.run(limit=4000)
    assert begun
    assert [each.data for each in to_host] == [bytes(back)] * 3
