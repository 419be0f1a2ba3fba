"""Builds boot ROM, loader and firmware: ``python -m firmware.build``.

The compiler is a package with the same bytes on every machine, no path or time gets into a
program, and the signature (Ed25519) has no randomness: the same sources give the same images, and
so the same measurements.
"""

import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from firmware.boot.layout import FLASH, Memory
from firmware.generate import number_array, signer_header, write_changed, write_headers
from firmware.packages import INCLUDES, LIBRARIES, MONOCYPHER, fetch
from firmware.sources import services
from niter.card import Card, CardConfig
from niter.csr.generate import register_page, svd
from niter.soc.config import CSR_BASE, RAM_BASE, ROM_BASE, ROM_BYTES, SocConfig

__all__ = ["DEVELOPMENT_KEY", "Images", "build", "extend", "public_key", "sign"]

_ROOT = Path(__file__).resolve().parent
_BUILD = _ROOT.parent / "build" / "firmware"

#: Signs images of development, and is public: a product's ROM is built with another.
DEVELOPMENT_KEY = _ROOT / "keys" / "development-only.pem"

#: Code for any RV32IMC, in an order for a pipeline whose loads and products come two cycles late,
#: as the core's do: the next instruction should not need them.
_TARGET = ["-target", "riscv32-freestanding-none", "-mcpu=rocket_rv32+m+c+relax", "-mabi=ilp32"]
_CODE = ["-Oz", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-g0"]
_CODE += ["-fno-sanitize=all", "-msave-restore"]
_WARNINGS = "-Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes"
#: Only what is said to be inline is copied to where it is called.
_CALLS = ["-finline-hint-functions"]
_OURS = ["-std=c11", *_CALLS, *_WARNINGS.split()]
_THEIRS = ["-std=c11", "-w"]
_LINK = ["-nostdlib", "-Wl,--gc-sections", "-Wl,--build-id=none"]

_HAL = ("flash", "measurement", "registers", "sha", "words")

#: Bytes of the stack that the management job computes on.
JOB_STACK = 4608
_DEFINES = ["-DZCBOR_CANONICAL", f"-DJOB_STACK={JOB_STACK}"]
#: What lets a computation be cut into slices: a call at each function's entry.
_POINTS = ["-fsanitize-coverage=func,trace-pc"]


@dataclass(frozen=True)
class Images:
    """What goes into a card.

    Parameters
    ----------
    rom
        The boot ROM, to the last byte of its memory.
    loader
        Its second half, which stands in flash.
    certifier
        What the loader calls when the alias key has no certificate yet.
    content
        The firmware without header and signature.
    image
        The signed image.
    measured
        What is measured of the image: SHA-384 of header, content and protected values.
    signer
        Public key that the loader accepts.
    folder
        Where all of this is kept, with maps and ELF files.
    """

    rom: bytes
    loader: bytes
    certifier: bytes
    content: bytes
    image: bytes
    measured: bytes
    signer: bytes
    folder: Path

    @property
    def rom_words(self) -> tuple[int, ...]:
        """The ROM for ``SocConfig.rom``."""
        return struct.unpack(f"<{len(self.rom) // 4}I", self.rom)

    def measurements(self) -> dict[str, bytes]:
        """The registers that boot extends, as attestation will report them."""
        return {
            "PCR1 boot ROM": extend(hashlib.sha384(self.rom).digest()),
            "PCR2 firmware": extend(self.measured),
            "PCR8 signer": extend(hashlib.sha384(self.signer).digest()),
        }


def extend(digest: bytes, register: bytes = bytes(48)) -> bytes:
    """What a measurement register holds once it was extended by ``digest``."""
    return hashlib.sha384(register + digest).digest()


def _run(arguments: Sequence[str | Path]) -> None:
    made = subprocess.run(list(map(str, arguments)), capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"{made.args[2:4]} failed:\n{made.stdout}{made.stderr}")


def _compile(source: Path, flags: Sequence[str], headers: bytes) -> Path:
    """An object file; the same source, flags and headers are compiled once."""
    arguments = [*_TARGET, *_CODE, *flags]
    key = hashlib.sha256(repr(arguments).encode() + source.read_bytes() + headers).hexdigest()
    target = _BUILD / "objects" / f"{source.stem}-{key[:16]}.o"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.o")
        _run([sys.executable, "-m", "ziglang", "cc", *arguments, "-c", source, "-o", partial])
        partial.rename(target)
    return target


def _content(elf: bytes, base: int) -> bytes:
    """What an ELF file loads, from ``base`` on."""
    start, size, count = (
        struct.unpack_from("<I", elf, 28)[0],
        *struct.unpack_from("<HH", elf, 42),
    )
    content = bytearray()
    for at in range(start, start + size * count, size):
        kind, offset, _, place, length = struct.unpack_from("<5I", elf, at)
        if kind == 1 and length:
            content.extend(bytes(max(0, place - base - len(content))))
            content[place - base : place - base + length] = elf[offset : offset + length]
    return bytes(content)


class _Builder:
    """Compiles and links for one card."""

    def __init__(self, config: CardConfig, folder: Path) -> None:
        self.memory = Memory(config.soc.ram_bytes)
        self.folder = folder
        self.include = folder / "include"
        write_headers(self.include, config)
        memory_map = Card(config).csr.memory_map
        write_changed(folder / "card.svd", svd(memory_map, name="card", base=CSR_BASE))
        write_changed(
            folder / "registers.md", register_page(memory_map, title="The card's registers")
        )
        self.libraries = {package: fetch(package) for package in LIBRARIES}

    def pin(self, name: str, content: bytes) -> None:
        """Write a header with the length and the digest of a program."""
        digest = number_array(f"{name.upper()}_DIGEST", hashlib.sha384(content).digest())
        text = f"enum {{ {name.upper()}_BYTES = {len(content)} }};\n{digest}\n"
        write_changed(self.include / f"{name}_digest.h", f"#include <stdint.h>\n\n{text}")
        (self.folder / f"{name}.bin").write_bytes(content)

    def program(
        self,
        name: str,
        base: int,
        limit: int,
        sources: Iterable[Path],
        *,
        points: bool = False,
        start: bool = True,
        stack: int = Memory.STACK,
    ) -> bytes:
        """Build one program; returns what is to be loaded.

        Parameters
        ----------
        name
            Of its files.
        base, limit
            Where it runs, and how long it may be.
        sources
            Ours. Of the libraries it gets what it uses.
        points
            Let long computations give way.
        start
            Whether it begins with ``start.S``; otherwise with the function in ``.start``.
        stack
            Bytes that its variables leave for the stack.
        """
        script = self.folder / f"{name}.ld"
        write_changed(script, self.memory.linker_script(base, limit, stack))
        paths = [self.include, _ROOT, _ROOT / "boot" / "include"]
        includes = [f"-I{path}" for path in paths]
        for package, names in INCLUDES.items():
            includes += [f"-isystem{self.libraries[package] / each}" for each in names]
        found = [*self.include.glob("*.h"), *_ROOT.glob("*/*.h"), *_ROOT.glob("boot/include/*.h")]
        headers = b"".join(path.read_bytes() for path in sorted(found))
        ours = [*_OURS, *_DEFINES, *includes]
        jobs = [(path, ours if path.suffix == ".c" else []) for path in sources]
        for package, files in LIBRARIES.items():
            # Monocypher's rotations and loads are functions.
            calls = _CALLS * (package is not MONOCYPHER)
            flags = [*_THEIRS, *calls, *_DEFINES, *includes]
            for each, long in files:
                path = self.libraries[package] / each
                jobs.append((path, flags + _POINTS * (long and points)))
        jobs.append((_ROOT / "boot" / "division.c", [*_OURS]))
        # What implements memcpy() must not be turned into a call of it.
        jobs.append((_ROOT / "boot" / "memory.c", [*_OURS, *includes, "-fno-builtin"]))
        jobs += [(_ROOT / "boot" / "start.S", [])] * start
        jobs += [(_ROOT / path, []) for path in ("crypto/context_rv32.S", "boot/saves.S")]
        with ThreadPoolExecutor(2) as pool:
            objects = list(pool.map(lambda job: _compile(*job, headers), jobs))
        elf = self.folder / f"{name}.elf"
        cc = [sys.executable, "-m", "ziglang", "cc", *_TARGET, *_LINK]
        _run([*cc, f"-Wl,-T,{script}", *objects, "-o", elf])
        content = _content(elf.read_bytes(), base)
        return content + bytes(-len(content) % 4)


def public_key(key: Path) -> bytes:
    """The public half of a private key, as RFC 8032 writes it."""
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return private.public_key().public_bytes(*raw)


def sign(content: bytes, folder: Path, *, key: Path, counter: int = 1, version: str = "0.1.0"):
    """Make an image of a program, in MCUboot's format.

    Parameters
    ----------
    content
        The program.
    folder
        Where both are kept.
    key
        Private key, Ed25519.
    counter, version
        Security counter and version of the image.

    Returns
    -------
    tuple of bytes
        The image, and the digest that is measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain, signed = folder / f"{version}-{counter}.bin", folder / f"{version}-{counter}.img"
    plain.write_bytes(content)
    options = ["--sha", "512", "--header-size", "32", "--pad-header", "--align", "4"]
    options += ["--slot-size", str(FLASH.slot_bytes), "--version", version]
    options += ["--security-counter", str(counter), "--key", str(key)]
    _run([sys.executable, "-m", "imgtool.main", "sign", *options, plain, signed])
    image = signed.read_bytes()
    protected, length = struct.unpack_from("<HI", image, 10)
    return image, hashlib.sha384(image[: 32 + length + protected]).digest()


def build(
    config: CardConfig,
    *,
    key: Path = DEVELOPMENT_KEY,
    folder: Path = _BUILD,
    main: Path = _ROOT / "main.c",
) -> Images:
    """Build everything for a card.

    Parameters
    ----------
    config
        The card, with its ``soc``; ``soc.rom`` is not looked at.
    key
        Private key that signs the image, and whose public half the loader gets.
    folder
        Where the results are kept.
    main
        The firmware's own source, beside the hardware's; a bench has others.

    Raises
    ------
    RuntimeError
        A tool failed; its output is in the message.
    """
    builder = _Builder(config, folder)
    boot, hal, memory = _ROOT / "boot", _ROOT / "hal", builder.memory
    crypto = sorted((_ROOT / "crypto").glob("*.c"))
    signer = public_key(key)
    write_changed(builder.include / "signer.h", signer_header(signer))
    # What not every card has comes with the services.
    of_some = {hal / f"{name}.c" for name in ("mailbox", "storage_keys")}
    everything = [*sorted(set(hal.glob("*.c")) - of_some), *crypto]
    certifier = builder.program(
        "certifier", RAM_BASE, memory.CERTIFIER, [boot / "certifier.c", *everything], start=False
    )
    builder.pin("certifier", certifier)
    loader = builder.program(
        "loader",
        memory.loader,
        memory.LOADER,
        [*(boot / f"{name}.c" for name in ("loader", "choose", "image", "pinned")), *everything],
    )
    builder.pin("loader", loader)
    of_hal = [hal / f"{name}.c" for name in _HAL]
    rom = builder.program(
        "rom",
        ROM_BASE,
        ROM_BYTES,
        [*(boot / name for name in ("reset.S", "rom.c", "pinned.c")), *of_hal],
    )
    content = builder.program(
        "firmware",
        RAM_BASE,
        memory.longest_image,
        [main, boot / "choose.c", boot / "image.c", *everything, *services(config)],
        points=True,
        stack=memory.FIRMWARE_STACK,
    )
    image, measured = sign(content, builder.folder, key=key)
    rom = rom.ljust(ROM_BYTES, b"\0")
    (builder.folder / "rom.bin").write_bytes(rom)
    return Images(rom, loader, certifier, content, image, measured, signer, builder.folder)


def main() -> None:
    """Build for the network card as it is by default, and print sizes and measurements."""
    soc = SocConfig()
    images = build(CardConfig(soc=soc))
    memory = Memory(soc.ram_bytes)
    for name, content, limit in (
        ("boot ROM", images.rom.rstrip(b"\0"), ROM_BYTES),
        ("loader", images.loader, memory.LOADER),
        ("certifier", images.certifier, memory.CERTIFIER),
        ("firmware", images.content, memory.longest_image),
    ):
        print(f"{name:12} {len(content):6} of {limit} bytes")
    for name, value in images.measurements().items():
        print(f"{name:14} {value.hex()}")
    print(f"in {images.folder}")


if __name__ == "__main__":
    main()
