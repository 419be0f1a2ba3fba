"""The overlay in its surroundings: tables, functions, peers, and the buffer for local frames."""

import cocotb
from cocotb.triggers import ClockCycles
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw
from scapy.utils import checksum

from niter.net import Overlay, OverlayConfig
from sim.harness import Bench, rng
from sim.models.control import ControlBus
from sim.models.overlay import OverlayTables, Tunnel, fill_checksums
from sim.models.streams import Frame, FrameSink, FrameSource, stalls

__all__ = [
    "BENCH",
    "BROADCAST",
    "OWNERS",
    "PEER",
    "PEER6",
    "PEER_MAC",
    "REMOTE",
    "REMOTE6",
    "REMOTE_MAC",
    "VNI",
    "VTEP",
    "VTEP6",
    "VTEP_MAC",
    "Setup",
    "datagram",
    "udp_frame",
]

CONFIGS = {
    "ipv4": OverlayConfig(functions=3, ports=2),
    "full": OverlayConfig(
        functions=3, ports=2, ipv6=True, geneve=True, verify=True, peers=32, templates=4
    ),
}
BENCH = Bench(
    dut={name: (lambda config=config: Overlay(config)) for name, config in CONFIGS.items()},
    fuzz=True,
)

BROADCAST = "ff:ff:ff:ff:ff:ff"
#: The card's tunnel endpoint, and a peer.
VTEP_MAC, VTEP, VTEP6 = "02:aa:00:00:00:01", "192.0.2.1", "2001:db8::1"
PEER_MAC, PEER, PEER6 = "02:bb:00:00:00:01", "192.0.2.77", "2001:db8::77"
#: A network, and a host on it behind the peer.
VNI = 0xABCDE5
REMOTE_MAC, REMOTE, REMOTE6 = "02:00:00:00:00:77", "10.0.0.77", "fd00::77"
#: Functions of the card: MAC address, network, IP addresses.
OWNERS = [
    ("02:00:00:00:00:01", VNI, ("10.0.0.11", "10.0.0.1", "fd00::11", "fd00::1", "fe80::11")),
    ("02:00:00:00:00:02", VNI, ("10.0.0.2", "fd00::2")),
    ("02:00:00:00:00:03", 5, ("10.0.0.1",)),
]


def udp_frame(payload=b"payload", *, src=0, dst=REMOTE_MAC, ip=REMOTE, **fields):
    """A UDP frame of a function."""
    address, _, owned = OWNERS[src]
    header = IP(src=owned[0], dst=ip, **fields)
    return Ether(src=address, dst=dst) / header / UDP(sport=1000, dport=2000) / payload


def datagram(frame, vni=VNI, *, tunnel=None, outer=None, udp=None, ether=None):
    """A frame in a tunnel from the peer to the card; layers may be given whole."""
    tunnel = VXLAN(vni=vni, flags=8) if tunnel is None else tunnel
    port = 6081 if isinstance(tunnel, GENEVE) else 4789
    ether = Ether(src=PEER_MAC, dst=VTEP_MAC) if ether is None else ether
    outer = IP(src=PEER, dst=VTEP) if outer is None else outer
    udp = UDP(sport=50000, dport=port, chksum=0) if udp is None else udp
    return ether / outer / udp / tunnel / Raw(bytes(frame))


class Setup:
    """Sources and sinks at every port, and tables that know ``OWNERS`` and the peer."""

    def __init__(self, dut, stalled: bool) -> None:
        def pauses(name):
            return stalls(rng(name)) if stalled else None

        self.dut = dut
        self.config = BENCH.component.config
        self.control = ControlBus(dut, "csr", BENCH.component.csr)
        self.host = FrameSource(dut, "i_host", stalls=pauses("host"))
        self.wire = FrameSource(dut, "i_wire", stalls=pauses("wire"))
        self.local = FrameSource(dut, "i_local", stalls=pauses("local"))
        self.to_wire = FrameSink(dut, "o_wire", stalls=pauses("to wire"))
        self.to_host = FrameSink(dut, "o_host", stalls=pauses("to host"))
        self.tables = OverlayTables(self.config, mac=VTEP_MAC, ipv4=VTEP, ipv6=VTEP6)

    @classmethod
    async def make(cls, dut, *, stalled: bool = False):
        """Reset the design and fill its tables."""
        await BENCH.start(dut)
        self = cls(dut, stalled)
        tables = self.tables
        for function, (address, vni, owned) in enumerate(OWNERS):
            tables.port(function, address, vni, owned)
            tables.forward(vni, address, None)
            tables.replicas(function, [])
            for ip in owned:
                self.neighbour(vni, ip, address)
        self.peer = tables.tunnel(Tunnel(PEER, PEER_MAC, port=1))
        if self.config.peers:
            tables.peer(PEER6)
        tables.forward(VNI, REMOTE_MAC, self.peer)
        self.neighbour(VNI, REMOTE, REMOTE_MAC)
        self.neighbour(VNI, REMOTE6, REMOTE_MAC)
        await tables.apply(self.control)
        self._before = {
            direction: await self._count(direction) for direction in ("transmit", "receive")
        }
        return self

    def neighbour(self, vni, ip, address):
        """Add a neighbour, if the card knows its kind of address."""
        if ":" not in ip or self.config.ipv6:
            self.tables.neighbour(vni, ip, address)

    def send(self, frame, function=0, **meta):
        """A function sends a frame."""
        self.host.put(Frame(bytes(frame), meta={"function": function, **meta}))

    def arrive(self, frame, port=1):
        """A frame comes from the wire."""
        frame = bytes(frame)
        total = ~checksum(frame) & 0xFFFF
        self.wire.put(Frame(frame, meta={"port": port, "sums": (total, 0)}))

    async def sent(self):
        """The next frame to the wire, its checksums filled in."""
        frame = await self.to_wire.recv()
        return Frame(fill_checksums(frame.data, frame.meta), meta=frame.meta)

    async def turn(self):
        """Take a local frame and give it back, as the card's buffer does."""
        frame = await self.sent()
        assert frame.meta.local
        self.local.put(frame)
        return frame

    def silent(self):
        """Nothing has come out that nobody asked for."""
        return not self.to_wire.waiting and not self.to_host.waiting

    async def counters(self, direction):
        """What a pipeline has counted in this test: counters outlive a reset."""
        # The last frame's counts are under way.
        await ClockCycles(self.dut.clk, 100)
        before = self._before[direction]
        now = await self._count(direction)
        return {name: now[name] - before[name] for name in now if now[name] != before[name]}

    async def _count(self, direction):
        counted = await self.control.counters("counters.counters")
        prefix = f"{direction}_"
        return {
            name.removeprefix(prefix): n for name, n in counted.items() if name.startswith(prefix)
        }

    def cycles(self):
        """Time in cycles of ``clk``."""
        return round(cocotb.utils.get_sim_time("ns") / 16)
