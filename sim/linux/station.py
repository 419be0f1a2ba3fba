"""The wire's peer when there is no root: a tunnel endpoint in this process, with scapy's codec.

It answers ARP, neighbour solicitations and echo requests of the networks that it was given. It
is no network stack: cases that need one are skipped, and say so.
"""

import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

__all__ = ["Station"]


class Station:
    """A thread that answers.

    Parameters
    ----------
    address, mac
        Of its tunnel endpoint.
    card, card_mac
        Of the card's.
    folder
        Where the sockets are made.
    """

    what = "a station of the test's own (scapy); with root it would be Linux' vxlan"
    full = False
    prefix: Sequence[str] = ()

    def __init__(self, address: str, mac: str, card: str, card_mac: str, folder: Path):
        self._outer = Ether(src=mac, dst=card_mac) / IP(src=address, dst=card, id=0)
        own, self._card = folder / "station.sock", folder / "port0.sock"
        self.wire = f"unix:{self._card},{own}"
        own.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(own))
        self._socket.settimeout(0.2)
        self._networks: dict[int, tuple[str, set[str]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self, networks: dict[int, tuple[str, Sequence[str]]]) -> None:
        """Begin to answer; parameters are those of ``Namespace.start``."""
        for vni, (mac, addresses) in networks.items():
            self._networks[vni] = mac, {address.split("/")[0] for address in addresses}
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                outer = Ether(self._socket.recv(16384))
            except TimeoutError:
                continue
            if VXLAN not in outer or outer[VXLAN].vni not in self._networks:
                continue
            vni = outer[VXLAN].vni
            reply = self._answer(outer[VXLAN].payload, *self._networks[vni])
            if reply is not None:
                udp = UDP(sport=outer[UDP].sport, dport=4789, chksum=0)
                frame = self._outer / udp / VXLAN(vni=vni, flags=8) / reply
                self._socket.sendto(bytes(frame), str(self._card))

    @staticmethod
    def _answer(frame: Packet, mac: str, own: set[str]) -> Packet | None:
        """What a station with these addresses says to a frame."""
        back = Ether(src=mac, dst=frame.src)
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst in own:
            asked = frame[ARP]
            return back / ARP(op=2, hwsrc=mac, psrc=asked.pdst, hwdst=asked.hwsrc, pdst=asked.psrc)
        if ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt in own:
            target = frame[ICMPv6ND_NS].tgt
            answer = ICMPv6ND_NA(tgt=target, S=1, R=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=mac)
            return back / IPv6(src=target, dst=frame[IPv6].src, hlim=255) / answer
        if ICMP in frame and frame[ICMP].type == 8 and frame[IP].dst in own:
            asked = frame[ICMP]
            echo = ICMP(type=0, id=asked.id, seq=asked.seq) / asked.payload
            return back / IP(src=frame[IP].dst, dst=frame[IP].src) / echo
        if ICMPv6EchoRequest in frame and frame[IPv6].dst in own:
            asked = frame[ICMPv6EchoRequest]
            echo = ICMPv6EchoReply(id=asked.id, seq=asked.seq, data=asked.data)
            return back / IPv6(src=frame[IPv6].dst, dst=frame[IPv6].src) / echo
        return None
