"""What stands round a card with its SoC: flash, a console, and a client on the network."""

import socket
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import cocotb
from cocotb.triggers import ClockCycles, FallingEdge, First, Timer
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from sim.models.control import ControlBus
from sim.models.flash_pins import FlashModel

from .gateway import CLIENT
from .rig import CONFIG

__all__ = ["BIT_NS", "CLOCK_NS", "Board", "Console", "Relay"]

CLOCK_NS = 16
#: Of the serial line.
BIT_NS = 4 * CLOCK_NS


class Console:
    """Takes letters from the serial line.

    Parameters
    ----------
    line
        The pin.
    bit_ns
        Of the line.
    """

    def __init__(self, line, bit_ns: float):
        self.text = ""
        self._line, self._bit_ns = line, bit_ns
        cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            await FallingEdge(self._line)
            await Timer(self._bit_ns * 3 // 2, "ns")
            byte = 0
            for position in range(8):
                byte |= int(self._line.value) << position
                await Timer(self._bit_ns, "ns")
            self.text += chr(byte)
            cocotb.log.info("console: %r", chr(byte))


class Board:
    """The rig with a flash, switched on."""

    @classmethod
    async def start(cls, dut, bench, content):
        """Switch it on, with this content of its flash."""
        self = cls()
        self.dut = dut
        self.flash = FlashModel(dut, "flash", content)
        await bench.start(dut)
        self.console = Console(dut.uart_tx, BIT_NS)
        self.control = ControlBus(dut, "csr", bench.component.csr.memory_map)
        return self

    async def released(self, cycles):
        """Wait until functions are released, at most so long; returns after how many cycles."""
        begin = cocotb.utils.get_sim_time("ns")
        await First(self.dut.released.value_change, ClockCycles(self.dut.clk, cycles))
        return (cocotb.utils.get_sim_time("ns") - begin) // CLOCK_NS

    async def check(self, found):
        """Functions are released, and what was measured is what was in flash."""
        assert int(self.dut.released.value) == (1 << CONFIG.functions) - 1, self.console.text
        for name, expected in found.measurements().items():
            assert await self.measurement(int(name[3])) == expected, name

    async def measurement(self, number):
        """Read a measurement register, while the core is at work."""
        base = self.control.address("soc.measurements.registers.values") + 16 * number
        words = [await self.control.read_word(base + n) for n in range(12)]
        return b"".join(word.to_bytes(4, "little") for word in words)


class Relay:
    """Lets a program with a UDP socket talk to the simulated card.

    Datagrams to ``port`` on loopback become frames for the card, and its frames datagrams for
    whoever spoke last. Encoding and decoding is scapy's, which fills in and checks checksums.

    Parameters
    ----------
    clock
        Of the card.
    send, receive
        Give the card a frame from the wire; take one that it sends to it.
    card
        The card's MAC and IPv4 address.
    udp_port
        That the card listens on.
    """

    def __init__(
        self,
        clock,
        send: Callable[[bytes], Awaitable[None]],
        receive: Callable[[], Awaitable[bytes]],
        *,
        card: tuple[str, str],
        udp_port: int,
    ):
        self._clock, self._send, self._receive = clock, send, receive
        self._card, self._udp_port = card, udp_port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._peer = None
        #: Frames that the card sends to others.
        self.strangers: list[bytes] = []
        #: For how many cycles ``run`` has gone on.
        self.cycles = 0
        cocotb.start_soon(self._from_card())

    @property
    def port(self) -> int:
        """Where the program finds the card on loopback."""
        return self._socket.getsockname()[1]

    async def run(self, work: Callable, *arguments, cycles: int):
        """Let a function talk to the card in a thread of its own; returns what it returns.

        Raises
        ------
        TimeoutError
            It took more than so many cycles.
        """
        step = 2000
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work, *arguments)
            for self.cycles in range(0, cycles, step):
                if future.done():
                    return future.result()
                await self._to_card()
                # The thread gets the interpreter.
                time.sleep(0.0002)
                await ClockCycles(self._clock, step)
            self._socket.close()
            raise TimeoutError(f"{work} has not ended after {cycles} cycles")

    async def _to_card(self) -> None:
        try:
            data, self._peer = self._socket.recvfrom(4096)
        except BlockingIOError:
            return
        ether = Ether(src=CLIENT[0], dst=self._card[0])
        ip = IP(src=CLIENT[1], dst=self._card[1])
        await self._send(bytes(ether / ip / UDP(sport=self._peer[1], dport=self._udp_port) / data))

    async def _from_card(self) -> None:
        while True:
            data = await self._receive()
            frame = Ether(data)
            if UDP not in frame or frame[UDP].sport != self._udp_port:
                self.strangers.append(data)
                continue
            assert (frame.src, frame.dst) == (self._card[0], CLIENT[0])
            ip, datagram = frame[IP], frame[UDP]
            assert (ip.src, ip.dst) == (self._card[1], CLIENT[1])
            sums = ip.chksum, datagram.chksum
            del ip.chksum, datagram.chksum
            again = IP(bytes(ip))
            assert sums == (again.chksum, again[UDP].chksum), "a checksum of the card is wrong"
            self._socket.sendto(bytes(datagram.payload), ("127.0.0.1", datagram.dport))
