"""``niterctl volume``: what a storage card is told."""

from dataclasses import asdict
from typing import Any, BinaryIO

import click

from .card import Card, Target, Volume
from .cli_base import IP, MAC, VNI, Options, rows_table
from .protocol import Role

__all__ = ["volume_group"]

#: Of XTS-AES-256.
_KEY_BYTES = 64


@click.group(name="volume")
def volume_group() -> None:
    """Volumes at storage targets, and the hosts that have them as namespaces."""


@volume_group.command(name="list")
@click.pass_obj
def volume_list(options: Options) -> None:
    """Show the volumes that are attached."""
    with options.session(Role.OBSERVER) as session:
        volumes = Card(session).volumes()
    columns = ("volume", "function", "nsid", "target", "first", "sectors", "mode")
    rows = [
        (
            *(volume.number, volume.function, volume.nsid),
            f"{volume.target.shelf}.{volume.target.slot} at {volume.target.mac}",
            *(volume.first, volume.length),
            ("read-only" if volume.read_only else "read-write")
            + (", encrypted" if volume.encrypted else ""),
        )
        for volume in volumes
    ]
    options.show([asdict(volume) for volume in volumes], lambda: rows_table(columns, rows))


@volume_group.command(name="attach")
@click.argument("number", type=int)
@click.option("--function", type=int, required=True, help="The host's.")
@click.option("--nsid", default=1, show_default=True, help="Its number for the namespace.")
@click.option("--target", "mac", type=MAC, required=True, help="MAC address of the target.")
@click.option("--shelf", type=int, required=True, help="Of the target.")
@click.option("--slot", type=int, required=True, help="Of the target.")
@click.option("--first", default=0, help="Its first sector at the target.")
@click.option("--sectors", "length", type=int, required=True, help="How many it has.")
@click.option(
    "--block", type=click.Choice(["512", "4096"]), default="512", help="Bytes of a block."
)
@click.option("--read-only", is_flag=True, help="It may not be written.")
@click.option("--iops", default=0, help="Requests a second; 0 is no limit.")
@click.option("--rate", default=0, help="Bytes a second; 0 is no limit.")
@click.option("--wire", default=0, show_default=True, help="Port that leads to the target.")
@click.option("--frame", default=2, show_default=True, help="Sectors that a frame takes there.")
@click.option("--buffers", default=16, show_default=True, help="Frames it takes at once.")
@click.option(
    "--encrypt",
    type=click.File("rb"),
    metavar="FILE",
    help="Encrypt it with both keys of XTS-AES-256: the 64 bytes in FILE.",
)
@click.pass_obj
def volume_attach(
    options: Options,
    number: int,
    mac: str,
    shelf: int,
    slot: int,
    wire: int,
    frame: int,
    buffers: int,
    block: str,
    encrypt: BinaryIO | None,
    **given: Any,
) -> None:
    """Give a host volume NUMBER, which appears there as a namespace."""
    target = Target(mac, shelf, slot, wire, frame, buffers)
    volume = Volume(number, target=target, block_bytes=int(block), **given)
    secret = encrypt and encrypt.read()
    if secret is not None and len(secret) != _KEY_BYTES:
        raise click.UsageError(f"A volume's keys have {_KEY_BYTES} bytes, not {len(secret)}")
    with options.session(Role.OPERATOR) as session:
        Card(session).attach_volume(volume, secret)
    options.done(f"Volume {number} is namespace {volume.nsid} of function {volume.function}.")


@volume_group.command(name="detach")
@click.argument("number", type=int)
@click.pass_obj
def volume_detach(options: Options, number: int) -> None:
    """Take volume NUMBER away from its host."""
    with options.session(Role.OPERATOR) as session:
        Card(session).detach_volume(number)
    options.done(f"Volume {number} is detached.")


@volume_group.command(name="tunnel")
@click.option("--vni", type=VNI, required=True, help="Its network, which no port may have.")
@click.option("--via", type=IP, required=True, help="The peer's address, IPv4.")
@click.option("--next-hop", type=MAC, required=True, help="MAC address that leads there.")
@click.pass_obj
def volume_tunnel(options: Options, vni: int, via: Any, next_hop: str) -> None:
    """Say where the VXLAN tunnel leads: for targets that are attached with --wire 1."""
    if via.version != 4:
        raise click.UsageError("The tunnel goes over IPv4")
    with options.session(Role.OPERATOR) as session:
        Card(session).set_storage_tunnel(vni, via, next_hop)
    options.done(f"The tunnel is network {vni} at {via}.")
