"""The command, as ``python -m niterctl``."""

from .cli import main

main(prog_name="niterctl")
