import asyncio
import dataclasses
import socket
import time
from pathlib import Path

import pytest

from sim.live.card import RunningCard
from sim.live.config import load
from sim.live.model import build_card

EXAMPLE = Path(__file__).parents[2] / "sim/live/example.toml"


def free_port() -> int:
    """A UDP port on loopback that nobody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def comes_to_rest(card: RunningCard) -> None:
    """The process stops working, whatever it has seen: what spins never does."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        before = card.processor_seconds()
        time.sleep(0.3)
        if card.processor_seconds() - before < 0.015:
            return
    raise AssertionError(f"it goes on and on:\n{card.log.read_text()}")


def measured(control, images):
    """What a card's measurement registers have of what its images' boot extends."""
    found = {}
    for name in images.measurements():
        base = control.address("soc.measurements.registers.values") + 16 * int(name[3])
        words = [asyncio.run(control.read_word(base + n)) for n in range(12)]
        found[name] = b"".join(word.to_bytes(4, "little") for word in words)
    return found


@pytest.fixture(scope="session")
def program():
    return build_card(load(EXAMPLE).card, Path("build/live/models"))


@pytest.fixture
def card(program, tmp_path):
    config = dataclasses.replace(load(EXAMPLE), wires=(f"unix:{tmp_path}/wire", "none"))
    running = RunningCard(program, config, tmp_path)
    with running:
        yield running
        assert running.process.poll() is None, running.log.read_text()
        comes_to_rest(running)
        status = running.control.status()
        assert not status["violations"] and not status["timeouts"], running.log.read_text()
    assert running.process.returncode == 0
    assert not [path for path in tmp_path.glob("*.sock") if path.exists()]
