"""The whole card with its processor, opened over the network by the real client.

It boots from flash. Nothing passes until ``niterctl``'s client has added a port and a route; then
frames go out as VXLAN, and come in.
"""

from ipaddress import IPv4Address

import cocotb
from cocotb.triggers import ClockCycles
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from niter.card import Card as CardRoom
from niterctl.card import Card, Tunnel
from niterctl.client import Session
from niterctl.protocol import PORT, Role
from sim.card.testbench import Peer, Tenant, Testbench
from sim.harness import Bench, record
from sim.models.cable import Cabled
from sim.models.flash_pins import FlashModel
from sim.soc.board import BIT_NS, Console, Relay
from sim.soc.identity import KEYS, MAC, VTEP, certified, identity, provisioned
from sim.soc.rig import flash_content, images, with_rom

#: Real seconds that the client waits: the simulation is slow.
PATIENCE = 2000

GUEST, STATION = "02:00:00:00:00:01", "02:00:00:00:00:02"
VNI = 0x123456
ADDRESS, FAR = "192.0.2.1", "192.0.2.2"
TENANT = Tenant(GUEST, VNI, (ADDRESS,))
PEER = Peer("198.51.100.2", "02:bb:00:00:00:02", stations=(STATION,))


def card() -> Cabled:
    """The benches' small card, with its processor."""
    return Cabled(CardRoom(with_rom()))


BENCH = Bench(dut=card, tier="slow", timeout_s=5000)


def ping(source: str, destination: str, address: str, other: str) -> bytes:
    """A frame between the two stations."""
    return bytes(
        Ether(src=source, dst=destination) / IP(src=address, dst=other) / ICMP() / Raw(b"x" * 40)
    )


class Managed(Testbench):
    """The card, which its own processor opens as far as a client lets it."""

    VTEP_MAC, VTEP = MAC, VTEP

    async def open(self) -> None:
        """Wait for the processor to release the functions."""
        begin = cocotb.utils.get_sim_time("ns")
        while not await self.control.read("card.release"):
            await ClockCycles(self.dut.clk, 1000)
            assert cocotb.utils.get_sim_time("ns") - begin < 20_000_000 * 16, self.console.text
        record("release", cycles=round((cocotb.utils.get_sim_time("ns") - begin) / 16))
        self.relay = Relay(
            self.dut.clk,
            self.wires[0].send,
            self.wires[0].recv,
            card=(MAC, VTEP),
            udp_port=PORT,
        )


def provision(port: int, card: bytes) -> tuple[dict, list, list]:
    """What an operator does. Runs beside the simulation."""
    # It asks again: functions are released before the card listens, and the packet port passes one
    # frame in a simulated millisecond, in which an answer of the card's may be answered.
    options = {"timeout": 2, "retries": PATIENCE}
    options |= {"key": KEYS[Role.OPERATOR], "card": card, "role": Role.OPERATOR}
    with Session("127.0.0.1", port, **options) as session:
        ours = Card(session)
        before = ours.status()
        ours.add_port(0, GUEST, VNI, (IPv4Address(ADDRESS),))
        tunnel = Tunnel(IPv4Address(PEER.vtep), PEER.next_hop)
        ours.add_route(VNI, STATION, tunnel, (IPv4Address(FAR),))
        return before, ours.ports(), ours.routes()


@cocotb.test()
async def nothing_passes_until_it_is_provisioned(dut):
    """Boot, release, no traffic; port and route by the client; traffic."""
    found = images()
    content = flash_content(found, a=found.image) | provisioned() | certified(found)
    FlashModel(dut, "flash", content)
    Managed.console = Console(dut.uart_tx, BIT_NS)
    bench = await Managed.start(BENCH, dut, tenants=[TENANT], peers=[PEER], drivers={"size": 16})
    driver, wire = bench.drivers[0], bench.wires[0]
    out = ping(GUEST, STATION, ADDRESS, FAR)
    back = ping(STATION, GUEST, FAR, ADDRESS)

    await driver.send(out)
    await wire.send(bench.tunnelled(back, VNI, PEER))
    await bench.quiet(50)
    assert bench.relay.strangers == [] and driver.arrived() == []

    status, ports, routes = await bench.relay.run(
        provision, bench.relay.port, identity(found), cycles=100_000_000
    )
    record("provisioned", cycles=bench.relay.cycles)
    assert status["name"] == "niter-bench" and status["health"] == [
        "time_unknown",
        "random_predictable",
    ]
    assert [(port["mac"], port["vni"], port["addresses"]) for port in ports] == [
        (GUEST, VNI, [ADDRESS])
    ]
    assert {route.mac for route in routes} == {GUEST, STATION}

    await driver.send(out)
    await wire.send(bench.tunnelled(back, VNI, PEER))
    received = await driver.recv()
    assert received.data == back
    await bench.quiet(50)
    (datagram,) = bench.relay.strangers
    frame = Ether(datagram)
    assert (frame.src, frame.dst) == (MAC, PEER.next_hop)
    assert (frame[IP].src, frame[IP].dst, frame[UDP].dport) == (VTEP, PEER.vtep, 4789)
    assert frame[VXLAN].vni == VNI and datagram[50:] == out
    bench.memory.check()
