"""``niterctl attest`` and ``niterctl factory``: what a card proves, and what it proves it with."""

import base64
import json
import os
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .attestation import NAMES, verify
from .card import Card
from .certificates import certify_device, chain_flash, make_root
from .cli_base import Options, open_private, rows_table
from .protocol import Role

__all__ = ["attest", "factory_group"]


def _expectations(file: Path | None, pairs: tuple[str, ...]) -> dict[int, bytes]:
    """Registers from a JSON file, and from NUMBER=HEX."""
    texts = json.loads(file.read_text(encoding="ascii")) if file else {}
    try:
        texts |= dict(pair.split("=", 1) for pair in pairs)
        return {int(number): bytes.fromhex(text) for number, text in texts.items()}
    except (ValueError, AttributeError) as error:
        raise click.UsageError(f"Expectations are NUMBER=HEX, or a JSON map: {error}") from error


@click.command()
@click.option("--nonce", metavar="HEX", help="Ours, 8 to 64 bytes; drawn unless it is given.")
@click.option("--user-data", default="", metavar="HEX", help="Put into the document as it is.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Keep the document.")
@click.option("--verify", "verifying", is_flag=True, help="Check it, against --root.")
@click.option("--root", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--expect", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--register", multiple=True, metavar="N=HEX", help="What a register must hold.")
@click.pass_obj
def attest(options: Options, nonce, user_data, out, verifying, root, expect, register) -> None:
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
    options.show(json.loads(found.to_json()), lambda: rows_table(("verified", ""), rows))


@click.group(name="factory")
def factory_group() -> None:
    """What makes a card one of ours: the root, and the certificate of each device key."""


@factory_group.command(name="root")
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("certificate", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="Niter root", show_default=True)
@click.pass_obj
def factory_root(options: Options, key: Path, certificate: Path, name: str) -> None:
    """Make a root: its private KEY, and its CERTIFICATE, both PEM."""
    private = ec.generate_private_key(ec.SECP384R1())
    with open(key, "xb", opener=open_private) as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    certificate.write_bytes(make_root(private, name).public_bytes(Encoding.PEM))
    options.done(f"Keep {key} offline.")


@factory_group.command(name="certify")
@click.argument("device", metavar="HEX")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--root-key", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--root", required=True, type=click.Path(exists=True, path_type=Path))
@click.pass_obj
def factory_certify(options: Options, device: str, out: Path, root_key: Path, root: Path) -> None:
    """Certify the device key HEX, and write OUT as it stands in the card's flash."""
    private = load_pem_private_key(root_key.read_bytes(), None)
    authority = x509.load_pem_x509_certificate(root.read_bytes())
    try:
        made = certify_device(authority, private, bytes.fromhex(device))
    except ValueError as error:
        raise click.UsageError(f"{device} is no device key: {error}") from error
    out.write_bytes(chain_flash(authority, made))
    options.done(f"{out} goes into the card's flash.")
