"""Real frames: what Linux' own network stack says, recorded between two namespaces.

``README.md`` beside the files tells where each comes from; ``record.py`` makes them anew.
"""

from pathlib import Path

from scapy.utils import RawPcapReader

__all__ = ["frames", "names"]

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of all captures."""
    return sorted(path.stem for path in _FOLDER.glob("*.pcap"))


def frames(name: str, *, source: bytes | None = None) -> list[bytes]:
    """The frames of a capture, without FCS, in the order in which they were seen.

    Parameters
    ----------
    name
        ``tcp``, ``dhcp``, …; see ``names``.
    source
        Only frames from this MAC address.
    """
    with (_FOLDER / f"{name}.pcap").open("rb") as file:
        found = [frame for frame, _ in RawPcapReader(file)]
    return [frame for frame in found if source is None or frame[6:12] == source]
