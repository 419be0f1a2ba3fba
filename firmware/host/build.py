"""Builds the firmware as a process of this machine, with sanitizers."""

import hashlib
import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from firmware.build import DEVELOPMENT_KEY, public_key
from firmware.generate import signer_header, write_changed, write_headers
from firmware.packages import BEARSSL, INCLUDES, LIBRARIES, fetch
from firmware.sources import services
from niter.card import CardConfig
from niter.net import OverlayConfig

__all__ = ["CONFIG", "build"]

_ROOT = Path(__file__).resolve().parent.parent
_BUILD = _ROOT.parent / "build" / "firmware" / "host"

#: The card that the host's firmware believes to be on: two functions, all that the overlay knows.
CONFIG = CardConfig(
    overlay=OverlayConfig(functions=2, ports=2, ipv6=True, geneve=True, replay_beats=2048),
    frame_bytes=9600,
)

#: The hash that the card has in hardware.
_HOST_ONLY = ("src/hash/sha2big.c", "src/codec/enc64be.c", "src/codec/dec64be.c")

_WARNINGS = "-Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes"
_OURS = f"-std=c11 {_WARNINGS} -fsanitize=address,undefined -fno-sanitize-recover=all".split()
_THEIRS = ["-std=c11", "-w", "-fsanitize=address"]
_COMMON = ["-D_GNU_SOURCE", "-DZCBOR_CANONICAL", "-DJOB_STACK=131072", "-O1", "-g"]


def _sources(config: CardConfig) -> list[Path]:
    ours = [path for folder in ("crypto", "host") for path in (_ROOT / folder).glob("*.c")]
    parts = (_ROOT / path for path in ("boot/choose.c", "boot/image.c", "hal/words.c"))
    return [*ours, *services(config), *parts]


def _stamp(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(repr((_OURS, _THEIRS, _COMMON, LIBRARIES)).encode())
    for path in sorted(paths):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def build(config: CardConfig = CONFIG, compiler: str = "gcc") -> Path:
    """The executable for a card, built when anything of it has changed.

    Raises
    ------
    subprocess.CalledProcessError
        The compiler does not accept the source text.
    """
    include = _BUILD / "include" / hashlib.sha256(repr(config).encode()).hexdigest()[:16]
    write_headers(include, config)
    write_changed(include / "signer.h", signer_header(public_key(DEVELOPMENT_KEY)))
    folders = {package: fetch(package) for package in LIBRARIES}
    headers = [*_ROOT.glob("*/*.h"), *include.glob("*.h")]
    sources = _sources(config)
    place = _BUILD / _stamp([*sources, *headers])
    program = place / "card"
    if program.exists():
        return program
    place.mkdir(parents=True, exist_ok=True)
    includes = [f"-I{include}", f"-I{_ROOT}"]
    for package, names in INCLUDES.items():
        includes += [f"-isystem{folders[package] / name}" for name in names]
    jobs = [(path, [*_OURS, *includes]) for path in sources]
    for package, files in LIBRARIES.items():
        for name, points in files:
            flags = [*_THEIRS, *includes, *(["-fsanitize-coverage=trace-pc"] if points else [])]
            jobs.append((folders[package] / name, flags))
    jobs += [(folders[BEARSSL] / name, [*_THEIRS, *includes]) for name in _HOST_ONLY]

    # Objects are shared between builds: a library is compiled once.
    def compile_one(job: tuple[Path, list[str]]) -> str:
        path, flags = job
        arguments = [compiler, *_COMMON, *flags, "-c", str(path)]
        key = hashlib.sha256(repr(arguments).encode() + path.read_bytes())
        if path.is_relative_to(_ROOT):
            for header in sorted(headers):
                key.update(header.read_bytes())
        target = _BUILD / "objects" / f"{path.stem}-{key.hexdigest()[:16]}.o"
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            partial = target.with_suffix(f".{os.getpid()}")
            subprocess.run([*arguments, "-o", str(partial)], check=True)
            partial.rename(target)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, jobs))
    partial = place / f"card.{os.getpid()}"
    subprocess.run(
        [compiler, "-fsanitize=address,undefined", *objects, "-o", str(partial)], check=True
    )
    partial.rename(program)
    return program
