"""``niterctl firmware``: what a card runs."""

import sys
import time
from pathlib import Path

import click

from .card import Card
from .cli_base import Options
from .client import CardError, SilentError, probe
from .image import ImageHeader, version_text
from .protocol import Role

__all__ = ["firmware_group"]


@click.group(name="firmware")
def firmware_group() -> None:
    """The firmware that the card runs."""


def _await_boot(options: Options, before: bytes, seconds: float) -> None:
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
def firmware_update(options: Options, file: Path, no_reset: bool, wait: float) -> None:
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
