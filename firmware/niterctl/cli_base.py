"""What the commands of ``niterctl`` share: sessions, arguments, and how results are printed."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from rich.console import Console
from rich.table import Table

from .attestation import AttestationError
from .card import mac_bytes, mac_text
from .client import CardError, Session
from .image import ImageError
from .policy import PolicyError
from .protocol import Role

__all__ = [
    "IP",
    "MAC",
    "VNI",
    "Group",
    "Options",
    "hex32",
    "load_key",
    "open_private",
    "rows_table",
]


@dataclass
class Options:
    """What stands in front of a command: which card, as whom, and how to answer."""

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
            key=load_key(self.key),
            card=hex32(self.identity, "--identity"),
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
        """Print that something was done."""
        self.show({"ok": True}, lambda: text)


def hex32(text: str, what: str) -> bytes:
    """A key or identity, of an argument."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise click.UsageError(f"{what} must be 64 hexadecimal digits")
    return value


def load_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a file."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise click.UsageError(f"{path} holds no private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise click.UsageError(f"{path} holds no Ed25519 key")
    return key


def open_private(path: str, flags: int) -> int:
    """Open a file that nobody else may read."""
    return os.open(path, flags, 0o600)


class Group(click.Group):
    """Turns what can go wrong with a card into one line and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: D102
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


#: Types of arguments.
MAC, IP = _Mac(), _Ip()
VNI = click.IntRange(0, 0xFFFFFE)


def rows_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Rows under their headings, as people read them."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table
