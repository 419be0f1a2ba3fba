"""The command ``niterctl``."""

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from rich.console import Console
from rich.table import Table

from .attestation import NAMES, AttestationError, verify
from .card import Card, Target, Tunnel, Volume, mac_bytes, mac_text
from .certificates import certify_device, chain_flash, make_root
from .client import CardError, Session, SilentError, probe
from .cose import public_bytes
from .image import ImageError, ImageHeader, version_text
from .policy import Policy, PolicyError
from .protocol import PORT, Role

__all__ = ["main"]


@dataclass
class _Options:
    host: str | None
    port: int
    key: Path | None
    identity: str | None
    role: str | None
    as_json: bool
    timeout: float

    def session(self, role: Role) -> Session:
        """Open a session with at least what the command needs."""
        for value, name in (
            (self.host, "--card"),
            (self.key, "--key"),
            (self.identity, "--identity"),
        ):
            if value is None:
                raise click.UsageError(f"This needs {name}")
        if self.role is not None:
            role = Role[self.role.upper()]
        return Session(
            self.host,
            self.port,
            key=_load_key(self.key),
            card=_hex32(self.identity, "--identity"),
            role=role,
            timeout=self.timeout,
        )

    def show(self, data: Any, table: Callable[[], Any] | None = None) -> None:
        """Print a result: as JSON, or as people read it."""
        if self.as_json:
            click.echo(json.dumps(data))
        elif table is not None:
            Console(soft_wrap=not sys.stdout.isatty()).print(table())

    def done(self, text: str) -> None:
        self.show({"ok": True}, lambda: text)


def _hex32(text: str, what: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise click.UsageError(f"{what} must be 64 hexadecimal digits")
    return value


def _load_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"{path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise click.UsageError(f"{path} holds no Ed25519 key")
    return key


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, 0o600)


class _Group(click.Group):
    """Turns what can go wrong with a card into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AttestationError, CardError, ImageError, PolicyError, OSError) as error:
            raise click.ClickException(str(error)) from error


class _Mac(click.ParamType):
    name = "mac"

    def convert(self, value: str, param: Any, ctx: Any) -> str:
        try:
            return mac_text(mac_bytes(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Ip(click.ParamType):
    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return ip_address(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_MAC, _IP = _Mac(), _Ip()
_VNI = click.IntRange(0, 0xFFFFFE)


def _rows(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


@click.group(cls=_Group, context_settings={"auto_envvar_prefix": "NITER"})
@click.option("--card", "host", metavar="HOST", help="Address of the card's listener.")
@click.option("--port", default=PORT, show_default=True, help="Its UDP port.")
@click.option(
    "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Our private key."
)
@click.option("--identity", metavar="HEX", help="The card's public key, as it is known to be.")
@click.option(
    "--role",
    type=click.Choice([role.name.lower() for role in Role]),
    help="Role to take; what the command needs unless it is given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--timeout", default=0.3, show_default=True, help="Seconds until the first retry.")
@click.pass_context
def main(ctx: click.Context, **options: Any) -> None:
    """Manage a Niter card over the network.

    Every option can come from the environment: NITER_HOST for --card,
    NITER_KEY for --key, and so on.
    """
    ctx.obj = _Options(**options)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell sources to complete niterctl's commands."""
    kind = get_completion_class(shell)
    click.echo(kind(main, {}, "niterctl", "_NITERCTL_COMPLETE").source())


@main.command()
@click.pass_obj
def identity(options: _Options) -> None:
    """Ask a card who it is. Nothing vouches for the answer."""
    if options.host is None:
        raise click.UsageError("This needs --card")
    found = probe(options.host, options.port, timeout=options.timeout)
    data = {"identity": found.card.hex(), "boot": found.boot.hex()}
    options.show(data, lambda: _rows(("identity", "boot"), [data.values()]))


@main.command()
@click.pass_obj
def status(options: _Options) -> None:
    """Show what the card is and how it does."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).status()
    options.show(data, lambda: _rows(("", ""), data.items()))


@main.command()
@click.option("--watch", is_flag=True, help="Again and again, with what came in between.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between.")
@click.option("--count", type=int, help="Stop after so many times.")
@click.option("--all", "show_all", is_flag=True, help="Also those that are zero.")
@click.pass_obj
def counters(
    options: _Options, watch: bool, every: float, count: int | None, show_all: bool
) -> None:
    """Show the overlay's counters: frames, bytes and drops by reason."""
    before: dict[str, dict[str, int]] = {}
    rounds = count or (None if watch else 1)
    with options.session(Role.OBSERVER) as session:
        card = Card(session)
        while rounds is None or rounds > 0:
            data = card.counters()
            if not show_all:
                data = {
                    bank: {name: value for name, value in values.items() if value}
                    for bank, values in data.items()
                }
            rows = [
                (bank, name, value, value - before.get(bank, {}).get(name, 0))
                for bank, values in data.items()
                for name, value in values.items()
            ]
            options.show(
                data, lambda rows=rows: _rows(("direction", "counter", "value", "more"), rows)
            )
            before = data
            if rounds is not None:
                rounds -= 1
            if rounds != 0:
                time.sleep(every)


@main.group(name="port")
def port_group() -> None:
    """Functions of the card: what they own, and their network."""


@port_group.command(name="list")
@click.pass_obj
def port_list(options: _Options) -> None:
    """Show the functions that are provisioned."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).ports()
    columns = ("function", "mac", "vni", "addresses")
    options.show(
        data,
        lambda: _rows(columns, [(*list(p.values())[:3], " ".join(p["addresses"])) for p in data]),
    )


@port_group.command(name="add")
@click.argument("function", type=int)
@click.option("--mac", type=_MAC, required=True, help="Its MAC address.")
@click.option("--vni", type=_VNI, required=True, help="Its network.")
@click.option("--ip", "addresses", type=_IP, multiple=True, help="An address that it owns.")
@click.option("--rate", default=0, help="Limit in Mb/s; 0 is none.")
@click.pass_obj
def port_add(options: _Options, function: int, mac: str, vni: int, addresses, rate: int) -> None:
    """Provision FUNCTION."""
    with options.session(Role.OPERATOR) as session:
        Card(session).add_port(function, mac, vni, addresses, rate)
    options.done(f"Function {function} is open.")


@port_group.command(name="remove")
@click.argument("function", type=int)
@click.pass_obj
def port_remove(options: _Options, function: int) -> None:
    """Close FUNCTION."""
    with options.session(Role.OPERATOR) as session:
        Card(session).remove_port(function)
    options.done(f"Function {function} is closed.")


@main.group(name="route")
def route_group() -> None:
    """Stations of the networks, and the tunnels that lead to them."""


@route_group.command(name="list")
@click.pass_obj
def route_list(options: _Options) -> None:
    """Show all stations."""
    with options.session(Role.OBSERVER) as session:
        card = Card(session)
        routes, tunnels = card.routes(), card.tunnels()
    data = [
        {
            "vni": route.vni,
            "mac": route.mac,
            "addresses": [str(address) for address in route.addresses],
            "tunnel": None if route.tunnel is None else _tunnel(tunnels[route.tunnel]),
        }
        for route in routes
    ]
    rows = [
        (
            d["vni"],
            d["mac"],
            " ".join(d["addresses"]),
            "local" if d["tunnel"] is None else d["tunnel"]["remote"],
        )
        for d in data
    ]
    options.show(data, lambda: _rows(("vni", "mac", "addresses", "via"), rows))


def _tunnel(tunnel: Tunnel) -> dict[str, Any]:
    return {
        "remote": str(tunnel.remote),
        "next_hop": tunnel.next_hop,
        "port": tunnel.port,
        "geneve": tunnel.geneve,
        "checksum": tunnel.checksum,
    }


@route_group.command(name="add")
@click.option("--vni", type=_VNI, required=True, help="The station's network.")
@click.option("--mac", type=_MAC, required=True, help="Its MAC address.")
@click.option("--ip", "addresses", type=_IP, multiple=True, help="An address that it has.")
@click.option("--via", type=_IP, required=True, help="The tunnel endpoint that it is behind.")
@click.option("--next-hop", type=_MAC, required=True, help="MAC address that leads there.")
@click.option("--wire", default=0, show_default=True, help="Port that the tunnel leaves by.")
@click.option("--geneve", is_flag=True, help="GENEVE instead of VXLAN.")
@click.option("--checksum", is_flag=True, help="Fill in the outer UDP checksum.")
@click.pass_obj
def route_add(
    options: _Options, vni, mac, addresses, via, next_hop, wire, geneve, checksum
) -> None:
    """Send a station's frames through a tunnel."""
    tunnel = Tunnel(via, next_hop, wire, geneve, checksum)
    with options.session(Role.OPERATOR) as session:
        Card(session).add_route(vni, mac, tunnel, addresses)
    options.done(f"{mac} in network {vni} is behind {via}.")


@route_group.command(name="remove")
@click.option("--vni", type=_VNI, required=True, help="The station's network.")
@click.option("--mac", type=_MAC, required=True, help="Its MAC address.")
@click.pass_obj
def route_remove(options: _Options, vni: int, mac: str) -> None:
    """Forget a station."""
    with options.session(Role.OPERATOR) as session:
        Card(session).remove_route(vni, mac)
    options.done(f"{mac} in network {vni} is forgotten.")


@main.group(name="volume")
def volume_group() -> None:
    """Volumes at storage targets, and the hosts that have them as namespaces."""


@volume_group.command(name="list")
@click.pass_obj
def volume_list(options: _Options) -> None:
    """Show the volumes that are attached."""
    with options.session(Role.OBSERVER) as session:
        volumes = Card(session).volumes()
    columns = ("volume", "function", "nsid", "target", "first", "sectors", "mode")
    rows = [
        (
            *(volume.number, volume.function, volume.nsid),
            f"{volume.target.shelf}.{volume.target.slot} at {volume.target.mac}",
            *(volume.first, volume.length, "read-only" if volume.read_only else "read-write"),
        )
        for volume in volumes
    ]
    options.show([asdict(volume) for volume in volumes], lambda: _rows(columns, rows))


@volume_group.command(name="attach")
@click.argument("number", type=int)
@click.option("--function", type=int, required=True, help="The host's.")
@click.option("--nsid", default=1, show_default=True, help="Its number for the namespace.")
@click.option("--target", "mac", type=_MAC, required=True, help="MAC address of the target.")
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
@click.pass_obj
def volume_attach(
    options: _Options,
    number: int,
    mac: str,
    shelf: int,
    slot: int,
    wire: int,
    frame: int,
    buffers: int,
    block: str,
    **given: Any,
) -> None:
    """Give a host volume NUMBER, which appears there as a namespace."""
    target = Target(mac, shelf, slot, wire, frame, buffers)
    volume = Volume(number, target=target, block_bytes=int(block), **given)
    with options.session(Role.OPERATOR) as session:
        Card(session).attach_volume(volume)
    options.done(f"Volume {number} is namespace {volume.nsid} of function {volume.function}.")


@volume_group.command(name="detach")
@click.argument("number", type=int)
@click.pass_obj
def volume_detach(options: _Options, number: int) -> None:
    """Take volume NUMBER away from its host."""
    with options.session(Role.OPERATOR) as session:
        Card(session).detach_volume(number)
    options.done(f"Volume {number} is detached.")


@volume_group.command(name="tunnel")
@click.option("--vni", type=_VNI, required=True, help="Its network, which no port may have.")
@click.option("--via", type=_IP, required=True, help="The peer's address, IPv4.")
@click.option("--next-hop", type=_MAC, required=True, help="MAC address that leads there.")
@click.pass_obj
def volume_tunnel(options: _Options, vni: int, via: Any, next_hop: str) -> None:
    """Say where the VXLAN tunnel leads: for targets that are attached with --wire 1."""
    if via.version != 4:
        raise click.UsageError("The tunnel goes over IPv4")
    with options.session(Role.OPERATOR) as session:
        Card(session).set_storage_tunnel(vni, via, next_hop)
    options.done(f"The tunnel is network {vni} at {via}.")


@main.command(name="time")
@click.option("--set", "setting", is_flag=True, help="Set it to this machine's.")
@click.pass_obj
def time_command(options: _Options, setting: bool) -> None:
    """Show the card's time, or set it."""
    with options.session(Role.OPERATOR if setting else Role.OBSERVER) as session:
        card = Card(session)
        if setting:
            card.set_time(time.time_ns() // 1_000_000)
        now = card.status()["time_ms"]
    text = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now / 1000)) if now else "unknown"
    options.show({"time_ms": now, "time": text}, lambda: text)


@main.command()
@click.option("--since", default=0, help="Number of the first entry.")
@click.pass_obj
def log(options: _Options, since: int) -> None:
    """Show what happened on the card since its reset."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).log(since)
    columns = ("number", "ms", "event", "argument")
    options.show(data, lambda: _rows(columns, [entry.values() for entry in data]))


@main.command()
@click.pass_obj
def reset(options: _Options) -> None:
    """Reset the card's control half. What was provisioned is gone after it."""
    with options.session(Role.OWNER) as session:
        Card(session).reset()
    options.done("The card resets.")


@main.group(name="key")
def key_group() -> None:
    """Keys of those who manage cards."""


@key_group.command(name="new")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def key_new(options: _Options, file: Path) -> None:
    """Make a key and keep it in FILE."""
    key = Ed25519PrivateKey.generate()
    with open(file, "xb", opener=_private) as f:
        f.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    options.show({"public": public_bytes(key).hex()}, lambda: public_bytes(key).hex())


@key_group.command(name="show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def key_show(options: _Options, file: Path) -> None:
    """Print the public key of FILE."""
    text = public_bytes(_load_key(file)).hex()
    options.show({"public": text}, lambda: text)


@main.group(name="policy")
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


def _show_policy(options: _Options, policy: Policy) -> None:
    data = _policy_data(policy)
    rows = [(name, value) for name, value in data.items() if name != "keys"]
    rows += [(role, key) for key, role in data["keys"].items()]
    options.show(data, lambda: _rows(("", ""), rows))


@policy_group.command(name="show")
@click.pass_obj
def policy_show(options: _Options) -> None:
    """Show the policy in the card's flash."""
    with options.session(Role.OBSERVER) as session:
        policy = Card(session).policy()
    _show_policy(options, policy)


@policy_group.command(name="create")
@click.argument("file", type=click.Path(path_type=Path, writable=True))
@click.option("--name", required=True, help="What the card calls itself.")
@click.option("--mac", type=_MAC, required=True, help="MAC address of its listener and tunnels.")
@click.option("--ipv4", type=_IP, help="IPv4 address of both.")
@click.option("--ipv6", type=_IP, help="IPv6 address of both.")
@click.option("--owner", multiple=True, metavar="HEX", help="An owner's public key.")
@click.option("--operator", multiple=True, metavar="HEX", help="An operator's.")
@click.option("--observer", multiple=True, metavar="HEX", help="An observer's.")
@click.option("--flash", is_flag=True, help="As it stands in flash, for a card's first time.")
@click.pass_obj
def policy_create(options: _Options, file: Path, name, mac, ipv4, ipv6, flash, **holders) -> None:
    """Write a policy to FILE."""
    keys = {
        _hex32(text, f"--{role}"): Role[role.upper()]
        for role in ("observer", "operator", "owner")
        for text in holders[role]
    }
    policy = Policy(name, mac_bytes(mac), ipv4, ipv6, keys)
    file.write_bytes(policy.flash() if flash else policy.encode())
    _show_policy(options, policy)


@policy_group.command(name="write")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def policy_write(options: _Options, file: Path) -> None:
    """Replace the card's policy by that in FILE; it holds from the next reset."""
    policy = Policy.decode(file.read_bytes())
    with options.session(Role.OWNER) as session:
        Card(session).write_policy(policy)
    options.done("The policy holds from the next reset.")


@main.group(name="firmware")
def firmware_group() -> None:
    """The firmware that the card runs."""


def _await_boot(options: _Options, before: bytes, seconds: float) -> None:
    """Wait until the card has booted since it had this nonce.

    Raises
    ------
    CardError
        It does not come back.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if probe(options.host, options.port, timeout=options.timeout, retries=2).boot != before:
                return
        except SilentError:
            continue
    raise CardError(f"The card has not come back within {seconds:g} s")


@firmware_group.command(name="update")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--no-reset", is_flag=True, help="Let the card go on with what it runs until it is reset."
)
@click.option("--wait", default=60.0, show_default=True, help="Seconds that the reset may take.")
@click.pass_obj
def firmware_update(options: _Options, file: Path, no_reset: bool, wait: float) -> None:
    """Give the card the image in FILE, and start it.

    It goes into the slot that does not run. The card checks it before it may be started, and goes
    back to the old one when the new one does not serve. After the reset ports and routes are
    gone, as after any.
    """
    image = file.read_bytes()
    version = version_text(ImageHeader.decode(image).version)
    with options.session(Role.OWNER) as session:
        card = Card(session)
        for sent in card.update(image):
            if not options.as_json and sys.stderr.isatty():
                click.echo(f"\r{sent} of {len(image)} bytes", nl=sent == len(image), err=True)
        if no_reset:
            options.done(f"{version} is started at the next reset.")
            return
        before = session.boot
        card.reset()
    _await_boot(options, before, wait)
    # Whoever serves this is kept.
    with options.session(Role.OBSERVER) as session:
        status = Card(session).status()
    if status["version"] != version:
        raise CardError(f"The card runs {status['version']} and not {version}; its log says why")
    options.show(
        {"version": version, "slot": status["slot"]},
        lambda: f"The card runs {version}, from slot {status['slot']}.",
    )


def _expectations(file: Path | None, pairs: tuple[str, ...]) -> dict[int, bytes]:
    """Registers from a JSON file, and from NUMBER=HEX."""
    texts = json.loads(file.read_text(encoding="ascii")) if file else {}
    try:
        texts |= dict(pair.split("=", 1) for pair in pairs)
        return {int(number): bytes.fromhex(text) for number, text in texts.items()}
    except (ValueError, AttributeError) as error:
        raise click.UsageError(f"Expectations are NUMBER=HEX, or a JSON map: {error}") from error


@main.command()
@click.option("--nonce", metavar="HEX", help="Ours, 8 to 64 bytes; drawn unless it is given.")
@click.option("--user-data", default="", metavar="HEX", help="Put into the document as it is.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Keep the document.")
@click.option("--verify", "verifying", is_flag=True, help="Check it, against --root.")
@click.option("--root", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--expect", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--register", multiple=True, metavar="N=HEX", help="What a register must hold.")
@click.pass_obj
def attest(options: _Options, nonce, user_data, out, verifying, root, expect, register) -> None:
    """Fetch an attestation document, and check it.

    --root is the PEM certificate that is trusted, --expect a JSON map of registers to values.
    """
    expected = _expectations(expect, register)
    if verifying and root is None:
        raise click.UsageError("--verify needs --root")
    if expected and not verifying:
        raise click.UsageError("Expectations need --verify")
    try:
        drawn = bytes.fromhex(nonce) if nonce else os.urandom(32)
        extra = bytes.fromhex(user_data)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with options.session(Role.OBSERVER) as session:
        document = Card(session).attest(drawn, extra)
    if out:
        out.write_bytes(document)
    if not verifying:
        text = base64.b64encode(document).decode()
        options.show({"nonce": drawn.hex(), "document": text}, lambda: text)
        return
    found = verify(
        document, x509.load_pem_x509_certificate(root.read_bytes()), nonce=drawn, expected=expected
    )
    rows = [("name", found.name), ("time", found.time.isoformat())]
    rows += [(f"{n} {NAMES[n]}", value.hex()) for n, value in found.measurements.items()]
    options.show(json.loads(found.to_json()), lambda: _rows(("verified", ""), rows))


@main.group(name="factory")
def factory_group() -> None:
    """What makes a card one of ours: the root, and the certificate of each device key."""


@factory_group.command(name="root")
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("certificate", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="Niter root", show_default=True)
@click.pass_obj
def factory_root(options: _Options, key: Path, certificate: Path, name: str) -> None:
    """Make a root: its private KEY, and its CERTIFICATE, both PEM."""
    private = ec.generate_private_key(ec.SECP384R1())
    with open(key, "xb", opener=_private) as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(make_root(private, name).public_bytes(Encoding.PEM))
    options.done(f"Keep {key} offline.")


@factory_group.command(name="certify")
@click.argument("device", metavar="HEX")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--root-key", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--root", required=True, type=click.Path(exists=True, path_type=Path))
@click.pass_obj
def factory_certify(options: _Options, device: str, out: Path, root_key: Path, root: Path) -> None:
    """Certify the device key HEX, and write OUT as it stands in the card's flash."""
    private = load_pem_private_key(root_key.read_bytes(), None)
    authority = x509.load_pem_x509_certificate(root.read_bytes())
    try:
        made = certify_device(authority, private, bytes.fromhex(device))
    except ValueError as error:
        raise click.UsageError(f"{device} is no device key: {error}") from error
    out.write_bytes(chain_flash(authority, made))
    options.done(f"{out} goes into the card's flash.")
