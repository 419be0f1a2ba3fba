import asyncio
import dataclasses
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from niterctl.card import Card
from niterctl.client import Session
from niterctl.protocol import Role
from sim.live.card import RunningCard
from sim.live.config import load
from sim.live.managed import managed_card
from sim.live.model import build_card
from sim.soc.identity import KEYS, identity
from sim.soc.rig import images

#: Times two seconds that a client waits for a simulated card's answer.
PATIENCE = 600
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


@contextmanager
def served(folder, config, **place):
    """A card of RTL with its own processor, which has booted; it ends without a violation."""
    models = Path("build/live/models")
    running = managed_card(folder, models, port=free_port(), config=config, **place)
    try:
        print(f"released within {running.boot_cycles} cycles")
        yield running
        status = running.card.control.status()
        assert not status["violations"] and not status["timeouts"]
    finally:
        running.close()


@contextmanager
def owner(managed, config) -> Iterator[Card]:
    """What the unmodified client says to it, as its owner. The gateway knows no more than its
    IPv4 address: it has asked for the other."""
    options = {"key": KEYS[Role.OWNER], "role": Role.OWNER, "timeout": 2, "retries": PATIENCE}
    found = identity(images(config))
    with Session("127.0.0.1", managed.gateway.port, card=found, **options) as session:
        yield Card(session)


def check_boot(managed, config):
    """It booted what its flash holds."""
    found = images(config)
    assert "console: A" in managed.card.log.read_text()
    assert measured(managed.card.control, found) == found.measurements()
    assert managed.boot_cycles <= 10_000_000


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
