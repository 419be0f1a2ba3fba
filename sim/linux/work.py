"""The host's work: a guest's instructions with the card and without it; ``make work``."""

from pathlib import Path

import click

from .disk_work import count_blocks
from .frame_work import count_frames
from .namespace import Namespace
from .verdicts import console

_PARTS = {"frames": count_frames, "blocks": count_blocks}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(_PARTS)))
def main(parts: tuple[str, ...]) -> None:
    """Count, and print tables for docs/linux.md: of the parts that are named, or of all."""
    if not Namespace.possible():
        raise click.ClickException("This needs root: the peers are Linux' own, in a namespace")
    folder = Path("build/linux/work").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts or _PARTS:
        console.print(_PARTS[part](folder))


if __name__ == "__main__":
    main()
