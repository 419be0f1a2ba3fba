"""``niterctl key`` and ``niterctl policy``: who may do what."""

from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .card import Card, mac_bytes, mac_text
from .cli_base import IP, MAC, Options, hex32, load_key, open_private, rows_table
from .cose import public_bytes
from .policy import Policy
from .protocol import Role

__all__ = ["key_group", "policy_group"]


@click.group(name="key")
def key_group() -> None:
    """Keys of those who manage cards."""


@key_group.command(name="new")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def key_new(options: Options, file: Path) -> None:
    """Make a key and keep it in FILE."""
    key = Ed25519PrivateKey.generate()
    with open(file, "xb", opener=open_private) as f:
        f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    options.show({"public": public_bytes(key).hex()}, lambda: public_bytes(key).hex())


@key_group.command(name="show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def key_show(options: Options, file: Path) -> None:
    """Print the public key of FILE."""
    text = public_bytes(load_key(file)).hex()
    options.show({"public": text}, lambda: text)


@click.group(name="policy")
def policy_group() -> None:
    """The policy: the card's name and addresses, and whose keys may do what."""


def _policy_data(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "mac": mac_text(policy.mac),
        "ipv4": str(policy.ipv4) if policy.ipv4 else None,
        "ipv6": str(policy.ipv6) if policy.ipv6 else None,
        "keys": {key.hex(): role.name.lower() for key, role in policy.keys.items()},
        "measurement": policy.measurement().hex(),
    }


def _show_policy(options: Options, policy: Policy) -> None:
    data = _policy_data(policy)
    rows = [(name, value) for name, value in data.items() if name != "keys"]
    rows += [(role, key) for key, role in data["keys"].items()]
    options.show(data, lambda: rows_table(("", ""), rows))


@policy_group.command(name="show")
@click.pass_obj
def policy_show(options: Options) -> None:
    """Show the policy in the card's flash."""
    with options.session(Role.OBSERVER) as session:
        policy = Card(session).policy()
    _show_policy(options, policy)


@policy_group.command(name="create")
@click.argument("file", type=click.Path(path_type=Path, writable=True))
@click.option("--name", required=True, help="What the card calls itself.")
@click.option("--mac", type=MAC, required=True, help="MAC address of its listener and tunnels.")
@click.option("--ipv4", type=IP, help="IPv4 address of both.")
@click.option("--ipv6", type=IP, help="IPv6 address of both.")
@click.option("--owner", multiple=True, metavar="HEX", help="An owner's public key.")
@click.option("--operator", multiple=True, metavar="HEX", help="An operator's.")
@click.option("--observer", multiple=True, metavar="HEX", help="An observer's.")
@click.option("--flash", is_flag=True, help="As it stands in flash, for a card's first time.")
@click.pass_obj
def policy_create(options: Options, file: Path, name, mac, ipv4, ipv6, flash, **holders) -> None:
    """Write a policy to FILE."""
    keys = {
        hex32(text, f"--{role}"): Role[role.upper()]
        for role in ("observer", "operator", "owner")
        for text in holders[role]
    }
    policy = Policy(name, mac_bytes(mac), ipv4, ipv6, keys)
    file.write_bytes(policy.flash() if flash else policy.encode())
    _show_policy(options, policy)


@policy_group.command(name="write")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def policy_write(options: Options, file: Path) -> None:
    """Replace the card's policy by that in FILE; it holds from the next reset."""
    policy = Policy.decode(file.read_bytes())
    with options.session(Role.OWNER) as session:
        Card(session).write_policy(policy)
    options.done("The policy holds from the next reset.")
