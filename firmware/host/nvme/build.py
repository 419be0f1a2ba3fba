"""Builds the admin firmware as a process, with sanitizers."""

import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firmware.generate import messages_header, nvme_header
from niter.csr import MemoryMap
from niter.csr.generate import c_header
from niter.nvme.config import NvmeConfig
from niter.storage.volumes import MAX_VOLUMES

__all__ = ["build"]

_FIRMWARE = Path(__file__).resolve().parents[2]
_BUILD = _FIRMWARE.parent / "build" / "firmware" / "nvme-host"

_WARNINGS = "-Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes"
_FLAGS = f"-std=c11 {_WARNINGS} -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"


def _sources() -> list[Path]:
    hal = [_FIRMWARE / "hal" / f"{name}.c" for name in ("mailbox", "words")]
    return sorted([*_FIRMWARE.glob("nvme/*.c"), *hal, _FIRMWARE / "host" / "nvme" / "main.c"])


def build(memory_map: MemoryMap, config: NvmeConfig) -> Path:
    """The executable for a card with these registers, built when anything of it has changed.

    Parameters
    ----------
    memory_map
        Where the mailbox is ``soc.mailbox``, and the controllers are ``storage.nvme``.
    config
        Sizes of the controllers.

    Raises
    ------
    subprocess.CalledProcessError
        The compiler does not accept the source text.
    """
    texts = {
        "card_registers.h": c_header(memory_map, name="card"),
        "nvme_layout.h": nvme_header(config, volumes=MAX_VOLUMES),
        "nvme_messages.h": messages_header(),
    }
    headers = [*_FIRMWARE.glob("nvme/*.h"), *_FIRMWARE.glob("hal/*.h")]
    digest = hashlib.sha256(repr((_FLAGS, texts)).encode())
    for path in sorted([*_sources(), *headers]):
        digest.update(path.name.encode() + path.read_bytes())
    place = _BUILD / digest.hexdigest()[:16]
    program = place / "admin"
    if program.exists():
        return program
    place.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (place / name).write_text(text, encoding="ascii")
    flags = [*_FLAGS.split(), f"-I{place}", f"-I{_FIRMWARE}"]

    # Two tests may build at once: each has objects of its own.
    def compile_one(source: Path) -> str:
        target = place / f"{source.stem}.{os.getpid()}.o"
        subprocess.run(["gcc", *flags, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, _sources()))
    partial = place / f"admin.{os.getpid()}"
    subprocess.run(
        ["gcc", "-fsanitize=address,undefined", *objects, "-o", str(partial)], check=True
    )
    partial.rename(program)
    return program
