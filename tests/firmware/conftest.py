"""A card's firmware running on this machine, and keys of those who manage it."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware.host.build import build
from firmware.host.process import HostCard
from niterctl.card import Card
from niterctl.client import Session, probe
from niterctl.cose import public_bytes
from niterctl.policy import Policy
from niterctl.protocol import Role

HOST = "127.0.0.1"
KEYS = {role: Ed25519PrivateKey.from_private_bytes(bytes([role] * 32)) for role in Role}
POLICY = Policy(
    "niter-test",
    bytes.fromhex("02aa00000001"),
    IPv4Address("192.0.2.1"),
    IPv6Address("2001:db8::1"),
    {public_bytes(key): role for role, key in KEYS.items()},
)


@pytest.fixture(scope="session", autouse=True)
def _built():
    build()


def open_session(card: HostCard, role: Role = Role.OWNER, **options) -> Session:
    options = {"key": KEYS[role], "role": role, "timeout": 0.5, **options}
    return Session(HOST, card.port, card=probe(HOST, card.port).card, **options)


@pytest.fixture
def card(tmp_path):
    """A card of its own for one test."""
    with HostCard(tmp_path, POLICY) as running:
        yield running


@pytest.fixture(scope="module")
def shared_card(tmp_path_factory):
    """A card for tests that leave it as they find it."""
    with HostCard(tmp_path_factory.mktemp("card"), POLICY) as running:
        yield running


@pytest.fixture
def owner(card):
    with open_session(card) as session:
        yield Card(session)
