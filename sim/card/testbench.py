"""The whole card between a root complex and stations on the wire; what every card bench shares."""

from collections.abc import Sequence

from cocotb.triggers import ClockCycles, Timer
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from niter.card import Card, CardConfig
from niter.net import OverlayConfig
from sim.harness import Bench, Capture, rng
from sim.models.cable import Wire, release_wires, start_wires
from sim.models.cabled import Cabled
from sim.models.control import ControlBus
from sim.models.memory import HostMemory
from sim.models.opening import Endpoint, Peer, Tenant, open_card
from sim.models.root import Root
from sim.models.virtio.net import NetDriver
from sim.models.virtio.rootbus import RootBus, attach_memory

__all__ = ["CORE_NS", "Peer", "Tenant", "Testbench", "jumbo_card"]

CORE_NS = 16


def jumbo_card() -> Cabled:
    """The card of these benches: two functions, two ports, everything the overlay knows.

    All of them use this one, so that its model is built once.
    """
    overlay = OverlayConfig(functions=2, ports=2, ipv6=True, geneve=True, replay_beats=2048)
    return Cabled(Card(CardConfig(overlay=overlay, frame_bytes=9600)))


class Testbench:
    """The card, up and running.

    Parameters
    ----------
    bench, dut
        Of the running test.
    generation, latency_ns, max_payload
        Of the lane and the host; see ``sim.models.root``.
    tenants
        One for each function in use.
    peers
        Of the underlay; every tenant's network reaches all of them.
    capture
        Where what passes the wire is written.
    """

    VTEP_MAC, VTEP, VTEP6 = "02:aa:00:00:00:01", "198.51.100.1", "2001:db8:ffff::1"

    def __init__(
        self,
        bench: Bench,
        dut,
        *,
        tenants: Sequence[Tenant],
        peers: Sequence[Peer],
        generation: int = 1,
        latency_ns: float = 0.0,
        max_payload: int = 128,
        capture: Capture | None = None,
    ) -> None:
        self.bench, self.dut = bench, dut
        self.card: Cabled = bench.component
        self.config = self.card.config
        self.tenants, self.peers = tenants, peers
        self.control = ControlBus(dut, "csr", self.card.csr)
        self.wires = [Wire(dut, n, capture) for n in range(self.config.ports)]
        self.memory = HostMemory(rng=rng("memory"))
        self.root = Root(
            dut, slot=True, max_payload=max_payload, generation=generation, latency_ns=latency_ns
        )
        attach_memory(self.root.rc, self.memory)
        self.drivers: list[NetDriver] = []

    @classmethod
    async def start(cls, bench: Bench, dut, *, drivers: dict | None = None, **options):
        """Clocks, reset, control, enumeration, drivers.

        Parameters
        ----------
        drivers
            Arguments of ``NetDriver.start``. None: no driver is started.
        options
            Of the class.
        """
        start_wires(dut)
        await bench.start(dut, reset_cycles=8)
        release_wires(dut)
        self = cls(bench, dut, **options)
        await ClockCycles(dut.clk, 8)
        await self.open()
        devices = await self.root.enumerate()
        self.devices = devices[: len(self.tenants)]
        for number, device in enumerate(self.devices):
            bus = await RootBus.open(device, self.memory)
            driver = NetDriver(bus, rng=rng("driver", number))
            if drivers is not None:
                await driver.start(**drivers)
            self.drivers.append(driver)
        # A frame for a queue whose buffers the card has not fetched yet is dropped.
        await self.quiet()
        return self

    async def open(self) -> None:
        """What the card's processor does: tables, MACs, configuration structures, release."""
        await open_card(
            self.control,
            self.config,
            endpoint=Endpoint(self.VTEP_MAC, self.VTEP, self.VTEP6),
            tenants=self.tenants,
            peers=self.peers,
        )

    def tunnelled(self, frame: bytes, vni: int, peer: Peer, sport: int = 50000) -> bytes:
        """A tenant's frame as the peer sends it to the card."""
        ip = (
            IPv6(src=peer.vtep, dst=self.VTEP6)
            if ":" in peer.vtep
            else IP(src=peer.vtep, dst=self.VTEP)
        )
        udp = UDP(sport=sport, dport=4789, chksum=0)
        head = Ether(src=peer.next_hop, dst=self.VTEP_MAC) / ip / udp / VXLAN(vni=vni, flags=8)
        return bytes(head / Raw(frame))

    async def counters(self, path: str) -> dict[str, int]:
        """The counters of a bank that are not zero, when what is on its way has been counted."""
        await ClockCycles(self.dut.clk, 100)
        values = await self.control.counters(path)
        return {name: value for name, value in values.items() if value}

    async def quiet(self, us: float = 5.0) -> None:
        """Let what is on its way arrive."""
        await Timer(us, "us")
