"""What the overlay carries: cycles per frame in each direction."""

import cocotb
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from sim.harness import record
from sim.net.overlay.setup import OWNERS, REMOTE, REMOTE_MAC, Setup, datagram

__all__ = ["frames_per_second_in", "frames_per_second_out"]

#: Cycles that a frame may take at 62.5 MHz, by its size without FCS: the smallest at 1.5
#: million a second, large ones at 2 Gb/s.
CYCLES = {60: 62.5 / 1.5, 512: 512 * 8 / 32, 1514: 1514 * 8 / 32}
SIZES = (60, 128, 512, 1514)
COUNT = 30


async def measure(setup, sink, name, size, frame, put):
    """Send a frame many times, back to back, and time them."""
    for _ in range(COUNT):
        put(frame)
    await sink.recv()
    start = setup.cycles()
    for _ in range(COUNT - 1):
        await sink.recv()
    cycles = setup.cycles() - start
    record(f"{name}_{size}", frames=COUNT - 1, bytes=(COUNT - 1) * size, cycles=cycles)
    assert cycles <= (COUNT - 1) * CYCLES.get(size, cycles), (size, cycles / (COUNT - 1))


@cocotb.test()
async def frames_per_second_out(dut):
    """Frames of one function to one tunnel, back to back."""
    setup = await Setup.make(dut)
    for size in SIZES:
        head = Ether(src=OWNERS[0][0], dst=REMOTE_MAC) / IP(src="10.0.0.1", dst=REMOTE) / TCP()
        frame = bytes(head / bytes(size - 54))
        await measure(
            setup,
            setup.to_wire,
            "overlay_tx",
            size,
            frame,
            setup.send,
        )


@cocotb.test()
async def frames_per_second_in(dut):
    """Datagrams of one tunnel to one function, back to back."""
    setup = await Setup.make(dut)
    for size in SIZES:
        head = Ether(src=REMOTE_MAC, dst=OWNERS[0][0]) / IP(src=REMOTE, dst="10.0.0.1") / UDP()
        frame = bytes(datagram(head / bytes(size - 42)))
        await measure(
            setup,
            setup.to_host,
            "overlay_rx",
            size,
            frame,
            setup.arrive,
        )
