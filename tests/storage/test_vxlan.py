"""The storage tunnel: what it sends and takes apart is scapy's VXLAN."""

import random

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from niter.storage.vxlan import Tunnel
from sim.models.storage import StorageTunnel
from tests.support.csr import write
from tests.support.stream import SEEDS, STALLS, Bench, Packet

SETTING = StorageTunnel(
    "02:aa:00:00:00:01", "198.51.100.1", "02:bb:00:00:00:02", "198.51.100.2", 0xABCDE
)
AOE = bytes.fromhex("02bb000000a002aa0000000188a2")


def outer(inner, *, ip=(), udp=(), vxlan=(), to_card=False):
    """The inner frame in the tunnel, as scapy has it."""
    ends = (SETTING.mac, SETTING.next_hop), (SETTING.ipv4, SETTING.remote)
    (mac, peer_mac), (own, peer) = ends if not to_card else [pair[::-1] for pair in ends]
    fields = {"src": own, "dst": peer, "flags": "DF", "id": 0, "ttl": 64, **dict(ip)}
    ports = {"sport": 49152, "dport": 4789, "chksum": 0, **dict(udp)}
    tag = {"vni": SETTING.vni, "flags": 0x08, **dict(vxlan)}
    header = Ether(src=mac, dst=peer_mac) / IP(**fields) / UDP(**ports) / VXLAN(**tag)
    # As bytes: a layer for what is inside, which another test may have bound, would call some of
    # it padding, and padding is in no length.
    return bytes(header / Raw(inner))


def frame(rng, longest=1100):
    return AOE + rng.randbytes(rng.randint(10, longest))


def sideband(data, port):
    return {"meta": {"length": len(data), "port": port}}


def start(seed):
    tunnel = Tunnel(1)
    bench = Bench(tunnel, seed)

    async def open_tunnel(ctx):
        for at, word in enumerate(SETTING.words()):
            await write(ctx, tunnel.csr, at, word)

    return tunnel, bench, open_tunnel


def after(bench, opening, port, packets, stall):
    """Send when the tunnel is open."""

    async def source(ctx):
        await opening(ctx)
        rng = random.Random(bench.seed)
        for packet in packets:
            for at in range(0, len(packet.data), 8):
                while rng.random() < stall:
                    await ctx.tick()
                chunk = packet.data[at : at + 8]
                last = at + 8 >= len(packet.data)
                beat = {
                    "data": int.from_bytes(chunk.ljust(8, b"\xa5"), "little"),
                    "empty": 8 - len(chunk),
                    "last": last,
                    "error": last and packet.error,
                }
                await bench._put(ctx, port, {"packet": beat, **packet.sideband})

    bench.add(source)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
def test_frames_of_the_tunnels_port_get_an_outer_header(seed, stall):
    tunnel, bench, opening = start(seed)
    rng = random.Random(seed)
    inner = [(frame(rng), rng.random() < 0.6, rng.random() < 0.1) for _ in range(10)]
    packets = [Packet(data, bad, sideband(data, way)) for data, way, bad in inner]
    after(bench, opening, tunnel.i_storage, packets, stall[0])
    found = bench.receive(tunnel.o_storage, len(packets), stall=stall[1])
    bench.run(60_000)
    for (data, way, bad), packet in zip(inner, found, strict=True):
        assert packet.data == (outer(data) if way else data)
        assert packet.error == bad
        meta = packet.sideband["meta"]
        assert (meta.length, meta.port) == (len(packet.data), 0)


def strange(rng, inner):
    """Frames that are almost the peer's, which pass as they are."""
    return [
        inner,
        AOE + b"\x01",
        rng.randbytes(rng.randint(1, 90)),
        outer(inner, to_card=True)[:62],
        outer(inner, to_card=True, ip={"src": "198.51.100.3"}),
        outer(inner, to_card=True, ip={"src": "198.50.100.2"}),
        outer(inner, to_card=True, ip={"dst": "198.51.101.1"}),
        outer(inner, to_card=True, ip={"dst": "199.51.100.1"}),
        outer(inner, to_card=True, ip={"flags": "MF"}),
        outer(inner, to_card=True, ip={"frag": 8}),
        outer(inner, to_card=True, ip={"proto": 6}),
        outer(inner, to_card=True, udp={"dport": 4790}),
        outer(inner, to_card=True, vxlan={"flags": 0}),
        outer(inner, to_card=True, vxlan={"vni": SETTING.vni ^ 1}),
        outer(inner, to_card=True, vxlan={"vni": SETTING.vni ^ 1 << 23}),
        outer(inner[:12] + b"\x08\x00" + inner[14:], to_card=True),
        bytes(Ether(outer(inner, to_card=True)[:14]) / Dot1Q(vlan=5) / inner),
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
def test_the_peers_frames_lose_theirs_and_no_others(seed, stall):
    tunnel, bench, opening = start(seed)
    rng = random.Random(seed)
    sent, wanted = [], []
    for data in strange(rng, frame(rng, 100)):
        inner, bad = frame(rng, 200), rng.random() < 0.1
        tunnelled = outer(inner, to_card=True)
        sent.append(Packet(data, False, sideband(data, 0)))
        sent.append(Packet(tunnelled, bad, sideband(tunnelled, 0)))
        wanted += [(data, False), (inner, bad)]
    after(bench, opening, tunnel.i_wire, sent, stall[0])
    found = bench.receive(tunnel.o_wire, len(wanted), stall=stall[1])
    bench.run(90_000)
    for (data, bad), packet in zip(wanted, found, strict=True):
        assert (packet.data, packet.error) == (data, bad)
        assert packet.sideband["meta"].length == len(data)


def test_checksums_of_every_length_are_right():
    tunnel, bench, opening = start(1)
    packets = [Packet(AOE + bytes(n), False, sideband(AOE + bytes(n), 1)) for n in range(1, 40)]
    after(bench, opening, tunnel.i_storage, packets, 0)
    found = bench.receive(tunnel.o_storage, len(packets))
    bench.run(60_000)
    for packet in found:
        header = packet.data[14:34]
        total = sum(int.from_bytes(header[n : n + 2], "big") for n in range(0, 20, 2))
        assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
