"""Loads a bitstream that was built: ``python -m boards.flash``."""

import shutil
import subprocess
import sys
from pathlib import Path

import click

from .board import find_board
from .configurations import find_configuration
from .firmware import FIRMWARE_AT

__all__ = ["main"]

_BUILD = Path(__file__).parents[1] / "build"
_LOADER = "openFPGALoader"


@click.command()
@click.option("--board", "board_name", help="The configuration's own when not given.")
@click.option("--config", "config_name", default="network", show_default=True)
@click.option("--permanent", is_flag=True, help="Into the flash, not only until power goes.")
def main(board_name: str | None, config_name: str, permanent: bool) -> None:
    """Load a bitstream into a board, and for good also the firmware."""
    try:
        configuration = find_configuration(config_name)
        board = find_board(board_name or configuration.board)
    except LookupError as error:
        raise click.ClickException(str(error)) from None
    # The one names the flash that it is read from, which only stands in the way on JTAG.
    name = "niter.bit" if permanent else "niter.svf"
    bitstream = _BUILD / f"{board.name}-{configuration.name}" / name
    if not bitstream.exists():
        again = f"make bitstream BOARD={board.name} CONFIG={configuration.name}"
        raise click.ClickException(f"There is no {bitstream}; this builds it:\n    {again}")
    loader = shutil.which(_LOADER)
    if loader is None:
        raise click.ClickException(
            f"{_LOADER} is missing. Debian 12 and Ubuntu 24.04 install it with:\n"
            "    apt-get install --no-install-recommends openfpgaloader"
        )
    ways = [["--write-flash", str(bitstream)] if permanent else [str(bitstream)]]
    firmware = bitstream.with_name("firmware.bin")
    if permanent and configuration.config.soc and firmware.exists():
        ways.append(["--write-flash", "--offset", hex(FIRMWARE_AT), str(firmware)])
    for way in ways:
        status = subprocess.run([loader, *board.loader, *way]).returncode
        if status:
            sys.exit(status)


if __name__ == "__main__":
    main()
