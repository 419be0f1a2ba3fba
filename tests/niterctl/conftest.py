"""The command against a card's firmware on this machine."""

import json

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from firmware.host.process import HostCard
from niterctl.cli import main
from niterctl.client import probe
from niterctl.protocol import Role
from tests.firmware.conftest import HOST, KEYS, POLICY


@pytest.fixture
def keys(tmp_path):
    """Key files by role."""
    files = {}
    for role, key in KEYS.items():
        files[role] = tmp_path / f"{role.name}.pem"
        files[role].write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return files


@pytest.fixture
def card(tmp_path):
    with HostCard(tmp_path, POLICY) as running:
        yield running


@pytest.fixture
def niterctl(card, keys):
    """Run the command as the owner; gives its output, decoded when it is JSON."""

    def run(*arguments, code=0, as_json=True):
        options = ["--card", HOST, "--port", card.port, "--key", keys[Role.OWNER]]
        options += ["--identity", probe(HOST, card.port).card.hex()]
        options += ["--json"] if as_json else []
        result = CliRunner().invoke(main, [str(a) for a in (*options, *arguments)])
        assert result.exit_code == code, result.output
        return json.loads(result.output) if as_json and code == 0 else result.output

    return run
