"""The command ``niterctl``."""

import time
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from .card import Card
from .cli_base import Group, Options, rows_table
from .cli_firmware import firmware_group
from .cli_keys import key_group, policy_group
from .cli_network import port_group, route_group
from .cli_trust import attest, factory_group
from .cli_volumes import volume_group
from .client import probe
from .protocol import PORT, Role

__all__ = ["main"]


@click.group(cls=Group, context_settings={"auto_envvar_prefix": "NITER"})
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
    ctx.obj = Options(**options)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell sources to complete niterctl's commands."""
    kind = get_completion_class(shell)
    click.echo(kind(main, {}, "niterctl", "_NITERCTL_COMPLETE").source())


@main.command()
@click.pass_obj
def identity(options: Options) -> None:
    """Ask a card who it is. Nothing vouches for the answer."""
    if options.host is None:
        raise click.UsageError("This needs --card")
    found = probe(options.host, options.port, timeout=options.timeout)
    data = {"identity": found.card.hex(), "boot": found.boot.hex()}
    options.show(data, lambda: rows_table(("identity", "boot"), [data.values()]))


@main.command()
@click.pass_obj
def status(options: Options) -> None:
    """Show what the card is and how it does."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).status()
    options.show(data, lambda: rows_table(("", ""), data.items()))


@main.command()
@click.option("--watch", is_flag=True, help="Again and again, with what came in between.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between.")
@click.option("--count", type=int, help="Stop after so many times.")
@click.option("--all", "show_all", is_flag=True, help="Also those that are zero.")
@click.pass_obj
def counters(
    options: Options, watch: bool, every: float, count: int | None, show_all: bool
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
                data, lambda rows=rows: rows_table(("direction", "counter", "value", "more"), rows)
            )
            before = data
            if rounds is not None:
                rounds -= 1
            if rounds != 0:
                time.sleep(every)


@main.command(name="time")
@click.option("--set", "setting", is_flag=True, help="Set it to this machine's.")
@click.pass_obj
def time_command(options: Options, setting: bool) -> None:
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
def log(options: Options, since: int) -> None:
    """Show what happened on the card since its reset."""
    with options.session(Role.OBSERVER) as session:
        data = Card(session).log(since)
    columns = ("number", "ms", "event", "argument")
    options.show(data, lambda: rows_table(columns, [entry.values() for entry in data]))


@main.command()
@click.pass_obj
def reset(options: Options) -> None:
    """Reset the card's control half. What was provisioned is gone after it."""
    with options.session(Role.OWNER) as session:
        Card(session).reset()
    options.done("The card resets.")


for each in (
    *(port_group, route_group, volume_group, key_group, policy_group),
    *(firmware_group, attest, factory_group),
):
    main.add_command(each)
