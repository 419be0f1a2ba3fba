"""C libraries that the firmware is built with: taken from packages, pinned by hash.

Nothing of them is kept in this repository. A package's archive is fetched once, checked against
its hash, and unpacked under ``build/packages``; what is there already is used as it is.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "BEARSSL",
    "INCLUDES",
    "LIBRARIES",
    "MONOCYPHER",
    "ZCBOR",
    "Package",
    "PackageError",
    "fetch",
]

_BUILD = Path(__file__).resolve().parent.parent / "build" / "packages"


class PackageError(Exception):
    """A package cannot be had, or is not what it should be."""


@dataclass(frozen=True)
class Package:
    """An archive of source text.

    Parameters
    ----------
    name, version
        As its registry calls it.
    origin
        "pypi" for a source distribution, "debian" for a Debian (or Ubuntu) source package.
    archive
        Name of the file.
    sha256
        Of that file.
    replaced
        Functions whose text gives way to an inclusion: file, how the function begins, and what is
        included.
    changed
        Further changes: file, text that stands there, and what takes its place.
    """

    name: str
    version: str
    origin: str
    archive: str
    sha256: str
    replaced: tuple[tuple[str, str, str], ...] = ()
    changed: tuple[tuple[str, str, str], ...] = ()


#: Ed25519, X25519, ChaCha20-Poly1305 (BSD-2-Clause or CC0). Its Python binding carries the C text.
MONOCYPHER = Package(
    "pymonocypher",
    "4.0.3.4",
    "pypi",
    "pymonocypher-4.0.3.4.tar.gz",
    "5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a",
    tuple(
        ("monocypher.c", f"static void {name}\n{{", "crypto/field.h")
        for name in (
            "fe_mul_small(fe h, const fe f, i32 g)",
            "fe_mul(fe h, const fe f, const fe g)",
            "fe_sq(fe h, const fe f)",
        )
    ),
)
#: ECDSA over P-384, HMAC, HKDF (MIT): the only small library at hand that has P-384, needs no
#: heap, and signs deterministically (RFC 6979).
BEARSSL = Package(
    "bearssl",
    "0.6+dfsg.1",
    "debian",
    "bearssl_0.6+dfsg.1.orig.tar.xz",
    "102a625bd8f6155260867a50c508df8d8c3f796985dd744df1a68e5cd1a79004",
    (
        (
            "src/int/i31_montmul.c",
            "void\nbr_i31_montymul(uint32_t *d, const uint32_t *x, const uint32_t *y,\n"
            "\tconst uint32_t *m, uint32_t m0i)\n{",
            "crypto/montgomery.h",
        ),
    ),
    # One curve alone, and numbers as long as that needs.
    (
        ("src/inner.h", "#define BR_MAX_EC_SIZE   528", "#define BR_MAX_EC_SIZE   384"),
        ("src/ec/ec_prime_i31.c", "\t\t{ P256_P, P256_B, P256_R2, 0x00000001 },\n", ""),
        ("src/ec/ec_prime_i31.c", "\t\t{ P521_P, P521_B, P521_R2, 0x00000001 }\n", ""),
        ("src/ec/ec_prime_i31.c", "&pp[curve - BR_EC_secp256r1]", "&pp[curve - BR_EC_secp384r1]"),
        *(
            (file, f"\tcase BR_EC_{curve}:\n\t\t{use}&br_{curve};\n{end}", "")
            for curve in ("secp256r1", "secp521r1")
            for file, use, end in (
                ("src/ec/ec_prime_i31.c", "return ", ""),
                ("src/ec/ecdsa_i31_sign_raw.c", "cd = ", "\t\tbreak;\n"),
            )
        ),
    ),
)
#: CBOR without a heap, both ways, refusing what is not canonical (Apache-2.0).
ZCBOR = Package(
    "zcbor",
    "0.9.1",
    "pypi",
    "zcbor-0.9.1.tar.gz",
    "c04918392e2dbb14c6f038d776e2ea6b09c34ba1028b045aadd7c3a95616bc38",
)


#: The files that are used of each library, and whether the compiler puts job_point() into them.
LIBRARIES = {
    MONOCYPHER: (("monocypher.c", True),),
    ZCBOR: tuple((f"src/zcbor_{part}.c", False) for part in ("common", "decode", "encode")),
    BEARSSL: (
        *((f"src/ec/{part}.c", True) for part in ("ec_prime_i31", "ecdsa_i31_sign_raw")),
        *((f"src/ec/{part}.c", False) for part in ("ec_secp384r1", "ecdsa_i31_bits")),
        *(
            (f"src/int/i31_{part}.c", True)
            for part in [
                "add",
                "bitlen",
                "decmod",
                "decode",
                "decred",
                "encode",
                "fmont",
                "iszero",
                "modpow",
                "montmul",
                "muladd",
                "ninv31",
                "reduce",
                "rshift",
                "sub",
                "tmont",
            ]
        ),
        *((f"src/int/{part}.c", False) for part in ("i32_div32",)),
        *(
            (f"src/{part}.c", False)
            for part in ("codec/ccopy", "kdf/hkdf", "mac/hmac", "rand/hmac_drbg")
        ),
    ),
}

#: Where the headers of each are.
INCLUDES = {MONOCYPHER: ("",), ZCBOR: ("include",), BEARSSL: ("inc", "src")}


def _run(arguments: list[str], folder: Path) -> str:
    result = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise PackageError(f"{' '.join(arguments[:3])} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def _download_pypi(package: Package, folder: Path) -> None:
    requirement = folder / "requirement.txt"
    requirement.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="ascii"
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    # Of this package its sources; what pip wants for reading its name may be built already.
    options = ["--no-deps", "--no-binary", package.name, "--require-hashes", "-r", str(requirement)]
    _run([*pip, *options], folder)


def _download_debian(package: Package, folder: Path) -> None:
    """With an apt state of its own, so that neither root nor the system's lists are needed."""
    if not shutil.which("apt-get"):
        raise PackageError(f"{package.name} comes from Debian's source packages, by apt-get")
    suites = _run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(SITE) $(RELEASE) $(COMPONENT)",
            "Identifier: Packages",
        ],
        folder,
    )
    lines = sorted(
        {f"deb-src {line}" for line in suites.splitlines() if "deb" in line or "ubuntu" in line}
    )
    (folder / "sources.list").write_text("\n".join(lines) + "\n", encoding="ascii")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    apt = [
        "apt-get",
        "-qq",
        "-o",
        f"Dir::State={folder}/state",
        "-o",
        f"Dir::State::status={folder}/status",
        "-o",
        f"Dir::Cache={folder}/cache",
        "-o",
        f"Dir::Etc::SourceList={folder}/sources.list",
        "-o",
        "Dir::Etc::SourceParts=/dev/null",
        "-o",
        "APT::Sandbox::User=",
    ]
    _run([*apt, "update"], folder)
    _run([*apt, "source", "--download-only", package.name], folder)


def _replace(path: Path, beginning: str, included: str) -> None:
    """Have a function, which ends with the first brace in the first column, included instead."""
    before, found, rest = path.read_text(encoding="utf-8").partition(beginning)
    _, ends, after = rest.partition("\n}\n")
    if not found or not ends or beginning in after:
        raise PackageError(f"{path.name} does not have {beginning!r} once")
    path.write_text(f'{before}#include "{included}"\n{after}', encoding="utf-8")


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise PackageError(f"{path.name} does not have {old!r} once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def fetch(package: Package) -> Path:
    """The folder that holds the package's source text.

    Raises
    ------
    PackageError
        It cannot be fetched, or its hash is another.
    """
    edits = repr((package.replaced, package.changed))
    edit = hashlib.sha256(edits.encode()).hexdigest()[:4]
    place = _BUILD / f"{package.name}-{package.version}-{package.sha256[:8]}-{edit}"
    if place.is_dir():
        return place
    _BUILD.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILD) as text:
        folder = Path(text)
        {"pypi": _download_pypi, "debian": _download_debian}[package.origin](package, folder)
        archive = folder / package.archive
        if not archive.is_file():
            raise PackageError(f"{package.name}: no {package.archive} was fetched")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != package.sha256:
            raise PackageError(f"{package.archive} has hash {digest}, not {package.sha256}")
        with tarfile.open(archive) as tar:
            # Python 3.11 has filters from 3.11.4 on. What is unpacked is known by its hash.
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(folder / "unpacked", **options)
        (top,) = (folder / "unpacked").iterdir()
        for file, beginning, included in package.replaced:
            _replace(top / file, beginning, included)
        for file, old, new in package.changed:
            _change(top / file, old, new)
        # Two processes may have fetched the same: the first one's stays.
        if not place.exists():
            try:
                os.rename(top, place)
            except OSError:
                if not place.is_dir():
                    raise
    return place
