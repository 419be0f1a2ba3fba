"""The far end of a port's cable for a soak: a tunnel endpoint that makes and takes apart VXLAN.

Written from RFC 7348 and RFC 791 alone, byte by byte; it shares nothing with the gateware.
"""

import contextlib
import socket
import struct
from pathlib import Path

from .config import LiveConfig

__all__ = ["Station", "checksum", "udp_frame"]

_VXLAN_PORT = 4789
_OUTER = 50


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _bytes(address: str) -> bytes:
    if "." in address:
        return bytes(int(part) for part in address.split("."))
    return bytes.fromhex(address.replace(":", ""))


def udp_frame(to: str, source: str, to_ip: str, source_ip: str, ports: int, data: bytes) -> bytes:
    """An Ethernet frame with a datagram, without a checksum of UDP."""
    first = struct.pack("!BBHHHBB", 0x45, 0, 28 + len(data), 0, 0, 64, 17)
    addresses = _bytes(source_ip) + _bytes(to_ip)
    header = first + struct.pack("!H", checksum(first + bytes(2) + addresses)) + addresses
    udp = struct.pack("!HHHH", ports, 7, 8 + len(data), 0)
    return _bytes(to) + _bytes(source) + b"\x08\x00" + header + udp + data


class Station:
    """A socket that frames are put into and taken from.

    Parameters
    ----------
    config
        The card's, with the tunnel endpoint that this one plays as its first peer.
    folder
        Where its socket is made.
    """

    def __init__(self, config: LiveConfig, folder: Path):
        self._config, self._peer = config, config.peers[0]
        self._path = folder / "station.sock"
        self._card = folder / "wire.sock"
        self.wire = f"unix:{self._card},{self._path}"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._socket.setblocking(False)

    def wrap(self, frame: bytes, vni: int, ports: int) -> bytes:
        """A guest's frame in a tunnel to the card."""
        endpoint = self._config.endpoint
        inside = struct.pack("!II", 0x08000000, vni << 8) + frame
        outer = udp_frame(
            endpoint.mac, self._peer.next_hop, endpoint.ipv4, self._peer.vtep, ports, inside
        )
        return outer[:36] + struct.pack("!H", _VXLAN_PORT) + outer[38:]

    def unwrap(self, frame: bytes) -> tuple[int, bytes]:
        """Network and content of a tunnelled frame.

        Raises
        ------
        ValueError
            It is not what the card may send to this station.
        """
        endpoint = self._config.endpoint
        ip = frame[14:34]
        length, port, datagram = struct.unpack("!H18xHH", frame[16:40])
        good = (
            frame[:14] == _bytes(self._peer.next_hop) + _bytes(endpoint.mac) + b"\x08\x00"
            and ip[0] == 0x45
            and ip[9] == 17
            and checksum(ip) == 0
            and ip[12:] == _bytes(endpoint.ipv4) + _bytes(self._peer.vtep)
            and port == _VXLAN_PORT
            and length == len(frame) - 14
            and datagram == length - 20
            and frame[42] == 0x08
        )
        if not good:
            raise ValueError(f"not a tunnelled frame: {frame[:64].hex()}")
        return int.from_bytes(frame[46:49], "big"), frame[_OUTER:]

    def send(self, frame: bytes) -> bool:
        """Put a frame on the wire; False when it does not take more at once."""
        try:
            self._socket.sendto(frame, str(self._card))
        except BlockingIOError:
            return False
        return True

    def receive(self) -> list[bytes]:
        """All frames that have come."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(self._socket.recv(16384))
        return frames

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)
