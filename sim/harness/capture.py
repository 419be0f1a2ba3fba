"""Writes what passed a bench's ports as pcapng, one interface for each port."""

from pathlib import Path
from types import TracebackType

from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter

__all__ = ["Capture"]


class Capture:
    """A pcapng file of Ethernet frames with simulated time.

    Parameters
    ----------
    path
        Is written anew.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = PcapNgWriter(str(path))

    def write(self, port: str, frame: bytes, time_ns: float, *, outbound: bool = False) -> None:
        """Add a frame.

        Parameters
        ----------
        port
            Name of the interface.
        frame
            Without FCS.
        time_ns
            Simulated time, counted from 1970.
        outbound
            The card sent it.
        """
        # Nothing beyond the first header is looked at, or written otherwise than it was.
        packet = Ether(frame[:14]) / Raw(frame[14:])
        packet.time = time_ns * 1e-9
        packet.sniffed_on = port
        packet.direction = 2 if outbound else 1
        self._writer.write(packet)

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def __enter__(self) -> "Capture":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
