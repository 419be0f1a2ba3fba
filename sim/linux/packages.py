"""Packages of a newer Debian in folders of their own, without root and without an installation.

apt does the work, with a state of its own: nothing of the system's is read but the mirror,
and nothing is written outside of the folder. A package is unpacked, never configured, so
its programs run through the dynamic loader that comes with it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["RELEASE", "PackageError", "Root", "fetch"]

#: The release that everything comes from; QEMU comes from its backports.
RELEASE = "trixie"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_LOADER = "ld-linux-x86-64.so.2"


class PackageError(Exception):
    """Packages cannot be had on this machine."""


@dataclass(frozen=True)
class Root:
    """A folder with unpacked packages."""

    path: Path

    @property
    def libraries(self) -> str:
        """Where its libraries are, as the loader wants to hear it."""
        places = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib")
        # Some packages keep what only their own libraries load in a folder below.
        own = sorted({path.parent for path in self.path.glob(f"{places[0]}/*/lib*.so*")})
        return ":".join(map(str, [*(self.path / place for place in places), *own]))

    def command(self, program: str) -> list[str]:
        """How a program of this folder is started; ``program`` is its path in there."""
        loader = next(
            found
            for place in ("lib64", "usr/lib64", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
            if (found := self.path / place / _LOADER).is_file()
        )
        return [str(loader), "--library-path", self.libraries, str(self.path / program)]


def fetch(folder: Path, name: str, packages: Sequence[str], *, backports: bool = False) -> Root:
    """Unpack packages, with all that they depend on, into ``folder/name``, unless that is done.

    Parameters
    ----------
    folder
        Keeps apt's state, what was fetched, and the roots.
    name
        Of the root.
    packages
        Names as apt takes them.
    backports
        Prefer the release's backports.

    Raises
    ------
    PackageError
        When apt or its keyring is missing, or it fails.
    """
    key = hashlib.sha256("\n".join((RELEASE, str(backports), *packages)).encode()).hexdigest()[:16]
    folder = folder.resolve()
    root = folder / name
    done = folder / f"{name}-{key}.done"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            for archive in _download(folder / "apt", packages, backports):
                _run(["dpkg-deb", "-x", str(archive), str(root)])
            done.touch()
    return Root(root)


def _download(state: Path, packages: Sequence[str], backports: bool) -> list[Path]:
    """Let apt find and fetch archives."""
    environment = _prepare(state)
    if not (state / "updated").exists():
        _run(["apt-get", "-qq", "update"], environment)
        (state / "updated").touch()
    target = ["-t", f"{RELEASE}-backports"] if backports else []
    install = ["apt-get", "-qq", "-y", *target, "install"]
    # It names what is not in its store: all of it, for an empty one.
    empty = f"Dir::Cache::archives={state / 'empty'}"
    listed = _run([*install, "-o", empty, "--print-uris", *packages], environment)
    _run([*install, "--download-only", *packages], environment)
    names = [line.split()[1] for line in listed.splitlines() if line.startswith("'")]
    return [state / "cache/archives" / name for name in names]


def _prepare(state: Path) -> dict[str, str]:
    """Make apt's folders; returns the environment that leads it there."""
    if not shutil.which("apt-get") or not Path(_KEYRING).exists():
        raise PackageError(f"This needs apt-get and {_KEYRING} (package debian-archive-keyring)")
    for place in ("lists/partial", "cache/archives/partial", "empty/partial", "parts"):
        (state / place).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    suites = "\n".join(
        f"deb [arch=amd64 signed-by={_KEYRING}] {_mirror()} {suite} main"
        for suite in (RELEASE, f"{RELEASE}-backports")
    )
    (state / "sources.list").write_text(suites + "\n")
    settings = {
        "APT::Architecture": "amd64",
        "APT::Architectures": "amd64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": state / "parts",
        "Dir::Etc::Preferences": state / "none",
        "Dir::Etc::PreferencesParts": state / "parts",
        "Dir::Etc::Parts": state / "parts",
        "Dir::Etc::Main": state / "none",
    }
    configuration = state / "apt.conf"
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return {**os.environ, "APT_CONFIG": str(configuration)}


def _mirror() -> str:
    """The mirror that this machine gets Debian from."""
    form = "$(SITE) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    lines = _run(["apt-get", "indextargets", "--format", form]).splitlines()
    for line in lines:
        site, suite, component, *_ = line.split()
        if component == "main" and site.rstrip("/").endswith("/debian") and "/" not in suite:
            return site
    raise PackageError("This machine's apt knows no mirror of Debian")


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise PackageError(f"{command[0]} ended with status {done.returncode}:\n{done.stderr}")
    return done.stdout
