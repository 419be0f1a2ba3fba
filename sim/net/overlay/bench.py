"""The overlay as a whole, against frames that scapy builds and takes apart."""

import cocotb
from cocotb.triggers import ClockCycles
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from niter.net import Overlay, OverlayConfig
from sim.harness import Bench, rng
from sim.models.control import ControlBus
from sim.models.overlay import OverlayTables, Tunnel, fill_checksums
from sim.models.streams import Frame, FrameSink, FrameSource, stalls

CONFIGS = {
    "ipv4": OverlayConfig(functions=3, ports=2),
    "full": OverlayConfig(functions=3, ports=2, ipv6=True, geneve=True),
}
BENCH = Bench(
    dut={name: (lambda config=config: Overlay(config)) for name, config in CONFIGS.items()},
    fuzz=True,
)

#: The card's tunnel endpoint, and one peer.
VTEP_MAC, VTEP = "02:aa:00:00:00:01", "192.0.2.1"
PEER_MAC, PEER = "02:bb:00:00:00:01", "192.0.2.77"
VNI = 0xABCDE5
#: Functions of the card: MAC address, network, IP addresses.
OWNERS = [
    ("02:00:00:00:00:01", VNI, ("10.0.0.1", "10.0.0.11", "fd00::1")),
    ("02:00:00:00:00:02", VNI, ("10.0.0.2", "fd00::2")),
    ("02:00:00:00:00:03", 5, ("10.0.0.1",)),
]
REMOTE_MAC, REMOTE = "02:00:00:00:00:77", "10.0.0.77"


class Setup:
    """The overlay with its tables filled, and the buffer that local frames come back through."""

    def __init__(self, dut, stalled: bool) -> None:
        def pauses(*name):
            return stalls(rng(*name)) if stalled else None

        self.dut = dut
        self.config = BENCH.component.config
        self.control = ControlBus(dut, "csr", BENCH.component.csr.memory_map)
        self.host = FrameSource(dut, "i_host", stalls=pauses("host"))
        self.wire = FrameSource(dut, "i_wire", stalls=pauses("wire"))
        self.local = FrameSource(dut, "i_local", stalls=pauses("local"))
        self.to_wire = FrameSink(dut, "o_wire", stalls=pauses("to wire"))
        self.to_host = FrameSink(dut, "o_host", stalls=pauses("to host"))
        self.tables = OverlayTables(self.config, mac=VTEP_MAC, ipv4=VTEP)

    @classmethod
    async def make(cls, dut, *, stalled: bool = False):
        await BENCH.start(dut)
        self = cls(dut, stalled)
        tables = self.tables
        for function, (address, vni, owned) in enumerate(OWNERS):
            tables.port(function, address, vni, owned)
            tables.forward(vni, address, None)
            for ip in owned:
                if ":" not in ip or self.config.ipv6:
                    tables.neighbour(vni, ip, address)
        self.peer = tables.tunnel(Tunnel(PEER, PEER_MAC, port=1))
        tables.forward(VNI, REMOTE_MAC, self.peer)
        tables.neighbour(VNI, REMOTE, REMOTE_MAC)
        await tables.apply(self.control)
        return self

    def send(self, frame, function=0, **meta):
        self.host.put(Frame(bytes(frame), meta={"function": function, **meta}))

    def arrive(self, frame, port=1):
        self.wire.put(Frame(bytes(frame), meta={"port": port}))

    async def turn(self):
        """Take one local frame and give it back, as the card's buffer does."""
        frame = await self.to_wire.recv()
        assert frame.meta.local
        filled = fill_checksums(frame.data, frame.meta)
        self.local.put(Frame(filled, meta=frame.meta))
        return filled

    async def counters(self, direction):
        # The last frame's counts are under way.
        await ClockCycles(self.dut.clk, 16)
        names = await self.control.counters(f"{direction}.drop.counters")
        return {name: value for name, value in names.items() if value}


def inner(payload=b"payload", *, src=0, dst=REMOTE_MAC, ip=REMOTE, **fields):
    """A UDP frame from a function."""
    address, _, owned = OWNERS[src]
    header = IP(src=owned[0], dst=ip, **fields)
    return Ether(src=address, dst=dst) / header / UDP(sport=1000, dport=2000) / payload


@cocotb.test()
async def a_frame_leaves_as_vxlan(dut):
    """What scapy finds in the datagram is what was sent and what the tunnel says."""
    setup = await Setup.make(dut)
    frame = bytes(inner(tos=0xB8))
    setup.send(frame)
    out = await setup.to_wire.recv()
    outer = Ether(out.data)
    assert (outer.dst, outer.src) == (PEER_MAC, VTEP_MAC)
    assert (outer[IP].src, outer[IP].dst, outer[IP].tos) == (VTEP, PEER, 0xB8)
    assert outer[IP].flags == "DF" and outer[IP].frag == 0
    assert outer[IP].len == len(out.data) - 14
    sum_sent = outer[IP].chksum
    del outer[IP].chksum
    assert IP(bytes(outer[IP])).chksum == sum_sent
    assert outer[UDP].dport == 4789 and outer[UDP].sport >= 49152 and outer[UDP].chksum == 0
    assert outer[UDP].len == len(out.data) - 34
    assert outer[VXLAN].flags == 8 and outer[VXLAN].vni == VNI
    assert out.data[50:] == frame
    assert out.meta.port == 1 and not out.meta.local
    assert await setup.counters("transmit") == {
        "function0_frames": 1,
        "function0_bytes": len(frame) + 50,
    }


@cocotb.test()
async def a_datagram_reaches_its_function(dut):
    """A peer's VXLAN datagram comes out as the frame inside, at the function that owns it."""
    setup = await Setup.make(dut)
    frames = [
        bytes(
            Ether(src=REMOTE_MAC, dst=OWNERS[n][0]) / IP(src=REMOTE, dst="10.0.0.1") / (b"x" * 30)
        )
        for n in range(3)
    ]
    for n, frame in enumerate(frames):
        outer = Ether(src=PEER_MAC, dst=VTEP_MAC) / IP(src=PEER, dst=VTEP)
        outer /= UDP(sport=50000, dport=4789, chksum=0) / VXLAN(vni=OWNERS[n][1], flags=8)
        setup.arrive(outer / Ether(frame))
    for n, frame in enumerate(frames):
        out = await setup.to_host.recv()
        assert out.data == frame
        assert out.meta.function == n and out.meta.port == 1
    counters = await setup.counters("receive")
    assert counters["function2_bytes"] == len(frames[2])
