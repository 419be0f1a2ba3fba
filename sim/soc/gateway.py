"""Between a program with a UDP socket and a card that takes frames in datagrams."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

__all__ = ["Gateway"]

#: The program's MAC and IPv4 address, as the card sees it.
_CLIENT = "02:00:00:00:00:fe", "192.0.2.9"


class Gateway:
    """Makes frames of datagrams to the card, and datagrams of its frames.

    Encoding and decoding is scapy's, which fills in checksums. A frame to the program with a wrong
    one goes no further, as in a kernel. Frames go to the card in datagrams, and come from it in
    such.

    Parameters
    ----------
    mac, address
        The card's. Without a MAC address the card is asked for it, once a second, as by any host
        on its wire; what the program sends meanwhile is lost but for the last.
    udp_port
        That the card listens on.
    strangers
        Gets the card's frames to others.

    Members
    -------
    card
        Where the card takes frames; while it is None, they are lost.
    """

    def __init__(
        self,
        mac: str | None,
        address: str,
        udp_port: int,
        strangers: Callable[[bytes], object] = lambda frame: None,
    ):
        self.card: tuple[str, int] | None = None
        self._mac, self._address, self._udp_port = mac, address, udp_port
        self._strangers = strangers
        self._wire, self._client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
        for each in (self._wire, self._client):
            each.bind(("127.0.0.1", 0))
            each.settimeout(0.1)
        self._peer, self._stopped = None, threading.Event()
        self._waiting, self._asked = b"", 0.0
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._to_card, self._from_card)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """Where a program finds the card on loopback."""
        return self._client.getsockname()[1]

    @property
    def wire(self) -> str:
        """Where the card's frames are to be sent: host and port."""
        return "{}:{}".format(*self._wire.getsockname())

    def send(self, frame: bytes) -> None:
        """Give the card a frame."""
        if self.card is not None:
            self._wire.sendto(frame, self.card)

    def datagram(self, data: bytes) -> bytes:
        """The frame with which such a datagram of the program's comes to the card."""
        source = self._peer[1] if self._peer else 40000
        ip = IP(src=_CLIENT[1], dst=self._address)
        udp = UDP(sport=source, dport=self._udp_port)
        return bytes(Ether(src=_CLIENT[0], dst=self._mac) / ip / udp / data)

    def _question(self) -> bytes:
        who = ARP(hwsrc=_CLIENT[0], psrc=_CLIENT[1], pdst=self._address)
        return bytes(Ether(src=_CLIENT[0], dst="ff:ff:ff:ff:ff:ff") / who)

    def close(self) -> None:
        """End the threads, and let go of the sockets."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._wire.close()
        self._client.close()

    def _to_card(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                self._waiting, self._peer = self._client.recvfrom(4096)
            if self._waiting and self._mac:
                self.send(self.datagram(self._waiting))
                self._waiting = b""
            elif self._waiting and time.monotonic() - self._asked > 1:
                self.send(self._question())
                self._asked = time.monotonic()

    def _from_card(self) -> None:
        while not self._stopped.is_set():
            try:
                data = self._wire.recv(16384)
            except TimeoutError:
                continue
            frame = Ether(data)
            if ARP in frame and frame.dst == _CLIENT[0] and frame[ARP].psrc == self._address:
                self._mac = frame[ARP].hwsrc
            elif (frame.dst, UDP in frame and frame[UDP].sport) != (_CLIENT[0], self._udp_port):
                self._strangers(data)
            elif _intact(frame):
                place = "127.0.0.1", frame[UDP].dport
                self._client.sendto(bytes(frame[UDP].payload), place)


def _intact(frame: Ether) -> bool:
    """Its checksums are those of its bytes."""
    again = frame.copy()
    del again[IP].chksum, again[UDP].chksum
    return bytes(again) == bytes(frame)
