"""The whole card between a root complex and stations on the wire; what every card bench shares."""

import logging
from collections.abc import Sequence

from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from niter.card import Card, CardConfig
from niter.net import OverlayConfig
from sim.harness import Bench, Capture, rng
from sim.models.control import ControlBus
from sim.models.memory import HostMemory
from sim.models.opening import Endpoint, Peer, Tenant, open_card
from sim.models.root import Root
from sim.models.virtio.net import NetDriver
from sim.models.virtio.rootbus import RootBus, attach_memory

__all__ = ["CORE_NS", "Peer", "Tenant", "Testbench", "Wire", "jumbo_card"]

CORE_NS = 16
_GMII_NS = 8


def jumbo_card() -> Card:
    """The card of these benches: two functions, two ports, everything the overlay knows.

    All of them use this one, so that its model is built once.
    """
    overlay = OverlayConfig(functions=2, ports=2, ipv6=True, geneve=True, replay_beats=2048)
    return Card(CardConfig(overlay=overlay, frame_bytes=9600))


class Wire:
    """One port's GMII: frames in and out, each written into the capture.

    Parameters
    ----------
    dut, number
        Which port.
    capture
        Or None.
    """

    def __init__(self, dut, number: int, capture: Capture | None) -> None:
        pins = (f"receive__{number}__", f"transmit__{number}__")
        rx_clk, tx_clk = (getattr(dut, f"gmii{number}_{half}_clk") for half in ("rx", "tx"))
        self._name = f"wire{number}"
        # Each prints every frame that passes.
        for pin in (pins[0] + "d", pins[1] + "d"):
            logging.getLogger(f"cocotb.{getattr(dut, pin)._path}").setLevel(logging.WARNING)
        self._capture = capture
        # A line without errors: one signal less to write for every octet.
        data, valid = (getattr(dut, pins[0] + pin) for pin in ("d", "dv"))
        self._source = GmiiSource(data, None, valid, rx_clk)
        self._sink = GmiiSink(*(getattr(dut, pins[1] + pin) for pin in ("d", "er", "en")), tx_clk)
        #: Time of the last start delimiter that the card sent, in nanoseconds.
        self.sfd_ns = 0.0

    @property
    def waiting(self) -> int:
        """Frames that the card has sent and nobody has taken."""
        return self._sink.count()

    async def recv(self) -> bytes:
        """The next frame that the card sends, without FCS, which must be right."""
        frame = await self._sink.recv()
        assert frame.check_fcs() and not frame.error, "the card sent a bad frame"
        data = bytes(frame.get_payload())
        self.sfd_ns = frame.sim_time_sfd / 1000
        if self._capture:
            self._capture.write(self._name, data, self.sfd_ns, outbound=True)
        return data

    async def send(self, data: bytes) -> None:
        """Queue a frame for the card."""
        if self._capture:
            self._capture.write(self._name, data, get_sim_time("ns"))
        await self._source.send(GmiiFrame.from_payload(data))

    async def idle(self) -> None:
        """Wait until the card was sent all that is queued."""
        await self._source.wait()


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
        self.card: Card = bench.component
        self.config = self.card.config
        self.tenants, self.peers = tenants, peers
        self.control = ControlBus(dut, "csr", self.card.csr.memory_map)
        self.wires = [Wire(dut, n, capture) for n in range(self.config.ports)]
        self.memory = HostMemory(rng=rng("memory"))
        self.root = Root(dut, max_payload=max_payload, generation=generation, latency_ns=latency_ns)
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
        ports = bench.component.config.ports
        for number in range(ports):
            for half in ("rx", "tx"):
                clock = getattr(dut, f"gmii{number}_{half}_clk")
                getattr(dut, f"gmii{number}_{half}_rst").value = 1
                Clock(clock, _GMII_NS, unit="ns").start()
        await bench.start(dut, reset_cycles=8)
        for number in range(ports):
            for half in ("rx", "tx"):
                getattr(dut, f"gmii{number}_{half}_rst").value = 0
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
        return bytes(head / Ether(frame))

    async def counters(self, path: str) -> dict[str, int]:
        """The counters of a bank that are not zero, when what is on its way has been counted."""
        await ClockCycles(self.dut.clk, 100)
        values = await self.control.counters(path)
        return {name: value for name, value in values.items() if value}

    async def quiet(self, us: float = 5.0) -> None:
        """Let what is on its way arrive."""
        await Timer(us, "us")
