"""The real firmware, on the soft core, serves the real client; only the wire is missing.

A session, status, time, and an attestation document, which a verifier that is not ours believes.
"""

import time

import cocotb
from cocotb.triggers import RisingEdge

from niterctl.card import Card
from niterctl.client import Session
from niterctl.protocol import PORT, Role
from sim.harness import Bench, record
from sim.models.streams import FrameSink
from sim.soc.board import Board, Relay
from sim.soc.identity import (
    KEYS,
    MAC,
    VTEP,
    certified,
    check_document,
    identity,
    provisioned,
)
from sim.soc.rig import flash_content, images, rig

BENCH = Bench(dut=rig, tier="slow", timeout_s=3000)

#: Real seconds that the client waits: the simulation is slow.
PATIENCE = 600
NONCE = bytes(range(32))


class Tap:
    """Frames from the wire, as the SoC sees them pass.

    Parameters
    ----------
    dut
        The rig.
    """

    def __init__(self, dut):
        self._dut = dut
        dut.tap__transfer.value = 0

    async def send(self, frame: bytes) -> None:
        """Let a frame pass."""
        frame = frame.ljust(60, b"\0")
        dut = self._dut
        dut.tap__length.value, dut.tap__port.value = len(frame), 0
        for at in range(0, len(frame), 8):
            beat = frame[at : at + 8]
            last = at + 8 >= len(frame)
            empty = 8 - len(beat)
            await RisingEdge(dut.clk)
            dut.tap__packet.value = int.from_bytes(beat, "little") | empty << 64 | last << 67
            dut.tap__transfer.value = 1
        await RisingEdge(dut.clk)
        dut.tap__transfer.value = 0


def converse(port: int, card: bytes, step) -> tuple[dict, bytes, list]:
    """What an operator does, with the unmodified client. Runs beside the simulation."""
    # It asks again: functions are released before the card listens, and the packet port passes one
    # frame in a simulated millisecond, in which an answer of the card's may be answered.
    options = {"timeout": 2, "retries": PATIENCE}
    with Session(
        "127.0.0.1", port, key=KEYS[Role.OWNER], card=card, role=Role.OWNER, **options
    ) as s:
        step("session")
        ours = Card(s)
        ours.status()
        step("status")
        ours.set_time(time.time_ns() // 1_000_000)
        step("time")
        document = ours.attest(NONCE, b"hello")
        step("document")
        return ours.status(), document, ours.log()


@cocotb.test()
async def serves_the_client(dut):
    """Session, status, time, document."""
    found = images()
    board = await Board.start(
        dut, BENCH, flash_content(found, a=found.image) | provisioned() | certified(found)
    )
    await board.released(200_000_000)
    await board.check(found)
    tap, sink = Tap(dut), FrameSink(dut, "frames")

    async def receive():
        return (await sink.recv()).data

    relay = Relay(dut.clk, tap.send, receive, card=(MAC, VTEP), udp_port=PORT)
    steps = {}

    def step(name: str) -> None:
        steps[name] = relay.cycles
        print(f"{name} after {relay.cycles} cycles", flush=True)

    status, document, log = await relay.run(
        converse, relay.port, identity(found), step, cycles=400_000_000
    )
    cocotb.log.info("%r %r %r", steps, status, log)
    before = 0
    for name, cycles in steps.items():
        record(name, cycles=cycles - before)
        before = cycles
    assert (status["name"], status["version"]) == ("niter-bench", "0.1.0")
    assert (status["functions"], status["ports"]) == (1, 1)
    assert status["health"] == ["random_predictable"]
    events = [entry["event"] for entry in log]
    assert events == ["start", "boot", "session", "confirmed", "time", "attest"]
    record("longest slice", cycles=status["longest_slice_cycles"])
    record("job's stack", value=status["job_stack_bytes"], unit="bytes")
    check_document(found, document, nonce=NONCE, user_data=b"hello")
