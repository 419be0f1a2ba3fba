"""The loader's choice of an image, run as a process of this machine with sanitizers.

The C is the firmware's own. Flash is an array of this process, and the hash is ``hashlib``. It is
a process of its own because the sanitizer's runtime has to be loaded before anything else: run
``Host().choose(flash, least)`` from a test.
"""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from firmware.boot.layout import Memory
from firmware.generate import protocol_header
from firmware.packages import MONOCYPHER, fetch
from niterctl.protocol import Verdict

__all__ = ["VERDICTS", "Host"]

_ROOT = Path(__file__).parents[2]
_FIRMWARE = _ROOT / "firmware"
_BUILD = _ROOT / "build" / "firmware" / "boot-host"

#: What the loader says of a slot.
VERDICTS = tuple(verdict.name.lower().replace("_", " ") for verdict in Verdict)

_SHA = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_FLASH = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t
)

_GLUE = """
#include <stdlib.h>
#include <string.h>
#include "boot/choose.h"
#include "boot_layout.h"
#include "crypto/job.h"
#include "hal/flash.h"
#include "hal/sha.h"

/* Its own allocation, so that the sanitizer sees an access beyond its end. */
uint8_t *host_image;
static uint8_t *hashed;
static size_t hashed_bytes;
static enum sha_kind hash_kind;
static void (*host_sha)(int, const void *, size_t, void *);
static int (*host_flash)(int, uint32_t, void *, size_t);

void sha_begin(enum sha_kind kind) { hash_kind = kind; hashed_bytes = 0; }
void sha_update(const void *from, size_t length) {
    if (!length) return;
    hashed = realloc(hashed, hashed_bytes + length);
    memcpy(hashed + hashed_bytes, from, length);
    hashed_bytes += length;
}
void sha_finish(uint8_t *digest) { host_sha(hash_kind == SHA512, hashed, hashed_bytes, digest); }
void job_point(void) {}
bool flash_busy(void) { return false; }
bool flash_read(uint32_t address, void *to, size_t length) {
    return host_flash(0, address, to, length);
}
bool flash_program(uint32_t address, const void *from, size_t length) {
    return host_flash(1, address, (void *)from, length);
}

int choose(
    void (*sha)(int, const void *, size_t, void *), int (*flash)(int, uint32_t, void *, size_t),
    const uint8_t *key, uint8_t *verdicts, uint8_t *digest, uint32_t *numbers
);
int choose(
    void (*sha)(int, const void *, size_t, void *), int (*flash)(int, uint32_t, void *, size_t),
    const uint8_t *key, uint8_t *verdicts, uint8_t *digest, uint32_t *numbers
) {
    struct image image = {0};
    struct boot_report report = {0};
    host_sha = sha;
    host_flash = flash;
    host_image = malloc(BOOT_IMAGE_LONGEST);
    bool found = boot_choose(key, &image, &report);
    memcpy(verdicts, report.verdict, sizeof report.verdict);
    memcpy(digest, image.digest, sizeof image.digest);
    numbers[0] = image.counter;
    numbers[1] = image.version;
    free(host_image);
    return found ? report.slot : -1;
}
"""


def _library() -> Path:
    """The C as a library, with sanitizers; built when its sources have changed."""
    header = Memory(64 * 1024).header()
    lines = [
        "#define BOOT_IMAGE_BASE host_image" if "IMAGE_BASE" in line else line
        for line in header.splitlines()
    ]
    lines.insert(3, "#include <stdint.h>\nextern uint8_t *host_image;")
    sources = [_FIRMWARE / "boot" / "choose.c", _FIRMWARE / "boot" / "image.c"]
    sources.append(_FIRMWARE / "hal" / "words.c")
    headers = sorted(
        path for room in ("boot", "hal", "crypto") for path in _FIRMWARE.glob(f"{room}/*.h")
    )
    texts = [protocol_header(), *(path.read_text() for path in [*sources, *headers])]
    key = hashlib.sha256("".join([_GLUE, *lines, *texts]).encode()).hexdigest()[:16]
    library = _BUILD / f"{key}.so"
    if not library.exists():
        folder = _BUILD / key
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "boot_layout.h").write_text("\n".join(lines) + "\n")
        (folder / "protocol.h").write_text(protocol_header())
        (folder / "glue.c").write_text(_GLUE)
        monocypher = fetch(MONOCYPHER)
        flags = ["-std=c11", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        flags += [f"-I{folder}", f"-I{_FIRMWARE}", f"-isystem{monocypher}"]
        partial = library.with_suffix(f".{os.getpid()}")
        files = [folder / "glue.c", *sources, monocypher / "monocypher.c"]
        subprocess.run(["gcc", *flags, *map(str, files), "-o", str(partial)], check=True)
        partial.rename(library)
    return library


class Host:
    """Runs the loader's choice for many flashes at once."""

    def __init__(self, signer: bytes):
        self._signer = signer

    def choose(self, flashes: list[dict[int, bytes]]) -> list[dict]:
        """For each flash, given as pieces by address: slot, verdicts, digest, counter, version
        and what was programmed.
        """
        runtime = subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        environment = {
            **os.environ,
            "LD_PRELOAD": runtime,
            # The interpreter does not free everything at its end.
            "ASAN_OPTIONS": "detect_leaks=0",
        }
        cases = [{str(at): piece.hex() for at, piece in flash.items()} for flash in flashes]
        asked = json.dumps({"library": str(_library()), "key": self._signer.hex(), "cases": cases})
        made = subprocess.run(
            [sys.executable, "-m", __name__],
            input=asked,
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
        )
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)


class _Flash:
    """Pieces of content; the rest is erased. Writing clears bits."""

    def __init__(self, pieces: dict[int, bytes]):
        self._pieces = {at: bytearray(piece) for at, piece in pieces.items()}
        self.programmed: list[list] = []

    def call(self, write: int, address: int, buffer: int, length: int) -> int:
        for at in range(length):
            for base, piece in self._pieces.items():
                if 0 <= address + at - base < len(piece):
                    byte = piece[address + at - base]
                    break
            else:
                byte = 0xFF
            if not write:
                ctypes.memset(buffer + at, byte, 1)
        if write:
            self.programmed.append([address, ctypes.string_at(buffer, length).hex()])
        return 1


def _sha(longer: int, content: int, length: int, digest: int) -> None:
    kind = hashlib.sha512 if longer else hashlib.sha384
    found = kind(ctypes.string_at(content, length)).digest()
    ctypes.memmove(digest, found, len(found))


def _main() -> None:
    asked = json.load(sys.stdin)
    library = ctypes.CDLL(asked["library"])
    key = bytes.fromhex(asked["key"])
    results = []
    for case in asked["cases"]:
        flash = _Flash({int(at): bytes.fromhex(piece) for at, piece in case.items()})
        sha, call = _SHA(_sha), _FLASH(flash.call)
        verdicts, digest = ctypes.create_string_buffer(3), ctypes.create_string_buffer(48)
        numbers = (ctypes.c_uint32 * 2)()
        slot = library.choose(sha, call, key, verdicts, digest, numbers)
        results.append(
            {
                "slot": slot,
                "verdicts": [VERDICTS[byte] for byte in verdicts.raw],
                "digest": digest.raw.hex(),
                "counter": numbers[0],
                "version": numbers[1],
                "programmed": flash.programmed,
            }
        )
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    _main()
