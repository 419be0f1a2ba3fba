"""Makes the captures anew: ``python -m sim.captures.record``, as root.

Two network namespaces of this machine, ``guest`` and ``peer``, talk to each other over a veth
pair with all offloads off, so that every checksum on it is the stack's own work. What passes
the guest's end is recorded with dumpcap. Needs iproute2, ethtool, iputils-ping,
netcat-openbsd, isc-dhcp-client, dnsmasq-base and wireshark-common; changes nothing outside the
namespaces.
"""

import os
import shlex
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scapy.data import DLT_EN10MB
from scapy.utils import RawPcapReader, RawPcapWriter

__all__ = ["main"]

_FOLDER = Path(__file__).parent
_GUEST, _PEER = "niter-guest", "niter-peer"
_MAC = {_GUEST: "02:00:00:00:00:01", _PEER: "02:00:00:00:00:02"}
_IPV4 = {_GUEST: "192.0.2.1", _PEER: "192.0.2.2"}
_IPV6 = {_GUEST: "2001:db8::1", _PEER: "2001:db8::2"}


def main() -> None:
    """Record every capture."""
    if os.geteuid():
        sys.exit("Network namespaces need root: sudo python -m sim.captures.record")
    for name, (mtu, talk) in _CONVERSATIONS.items():
        with _wire(mtu), _recording(name):
            talk()
        if name == "vlan":
            _tag((_FOLDER / name).with_suffix(".pcap"), 42)
        print(f"{name}: {(_FOLDER / name).with_suffix('.pcap').stat().st_size} bytes")


def _arp() -> None:
    """Address resolution, an echo, and what nobody answers."""
    _addresses(_IPV4, 24)
    _run(_GUEST, f"ping -c 2 -i 0.2 {_IPV4[_PEER]}")
    _run(_GUEST, "ping -c 1 -W 1 192.0.2.99", check=False)


def _neighbour() -> None:
    """Duplicate address detection, neighbour and router solicitation, echoes, MLD."""
    _addresses(_IPV6, 64, dad=True)
    time.sleep(2.5)
    _run(_GUEST, f"ping -6 -c 2 -i 0.2 {_IPV6[_PEER]}")
    _run(_GUEST, "ping -6 -c 1 -W 1 ff02::1%eth0", check=False)


def _dhcp() -> None:
    """A lease from discover to acknowledge, and its release."""
    _run(_PEER, f"ip address add {_IPV4[_PEER]}/24 dev eth0")
    with tempfile.TemporaryDirectory() as folder:
        server = (
            "dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=eth0"
            " --dhcp-range=192.0.2.50,192.0.2.60,1h"
            f" --dhcp-leasefile={folder}/leases --pid-file={folder}/server"
        )
        client = f"-4 -sf /bin/true -lf {folder}/lease -pf {folder}/pid eth0"
        Path(folder, "lease").touch()
        with _background(_PEER, server):
            time.sleep(0.5)
            _run(_GUEST, f"dhclient {client}")
            _run(_GUEST, "ip address add 192.0.2.50/24 dev eth0")
            _run(_GUEST, f"dhclient -r {client}")
            time.sleep(0.5)


def _tcp() -> None:
    """Connections over both versions of IP: a request, some segments back, the end."""
    _addresses(_IPV4, 24)
    _addresses(_IPV6, 64)
    for address in (_IPV4[_PEER], _IPV6[_PEER]):
        _connection(address, b"GET / HTTP/1.0\r\n\r\n", bytes(range(256)) * 40)


def _udp() -> None:
    """Datagrams whose frames have 60 and 1514 bytes and sizes between, and fragments."""
    _addresses(_IPV4, 24)
    _addresses(_IPV6, 64)
    for address, headers in ((_IPV4[_PEER], 42), (_IPV6[_PEER], 62)):
        with _background(_PEER, f"nc -u -l {address} 5000"):
            time.sleep(0.3)
            for size in (60, 61, 64, 127, 512, 1514, 3000):
                _datagram(address, max(size - headers, 0))


def _vlan() -> None:
    """Resolution, echoes and a connection, to be tagged."""
    _addresses(_IPV4, 24)
    _run(_GUEST, f"ping -c 2 -i 0.2 {_IPV4[_PEER]}")
    _connection(_IPV4[_PEER], b"hello\n", b"tagged\n" * 50)


def _tag(path: Path, vlan: int) -> None:
    """Put an 802.1Q tag into every frame, as the trunk port of a switch does."""
    with path.open("rb") as file:
        recorded = list(RawPcapReader(file))
    with RawPcapWriter(str(path), linktype=DLT_EN10MB) as writer:
        writer.write_header(None)
        for frame, when in recorded:
            tagged = frame[:12] + struct.pack(">HH", 0x8100, vlan) + frame[12:]
            writer.write_packet(tagged, sec=when.sec, usec=when.usec)


def _jumbo() -> None:
    """Frames of up to 9,014 bytes."""
    _addresses(_IPV4, 24)
    _addresses(_IPV6, 64)
    _run(_GUEST, f"ping -c 1 -s 8972 -M do {_IPV4[_PEER]}")
    _run(_GUEST, f"ping -6 -c 1 -s 8952 -M do {_IPV6[_PEER]}")
    for size in (1515, 4000, 9014):
        _datagram(_IPV4[_PEER], size - 42)
    _connection(_IPV4[_PEER], b"more\n", bytes(20000))


#: MTU, and what is said.
_CONVERSATIONS = {
    "arp": (1500, _arp),
    "neighbour": (1500, _neighbour),
    "dhcp": (1500, _dhcp),
    "tcp": (1500, _tcp),
    "udp": (1500, _udp),
    "vlan": (1500, _vlan),
    "jumbo": (9000, _jumbo),
}

#: Sends one datagram of zeroes: address, bytes.
_SEND = """
import socket, sys
address, size = sys.argv[1:]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
socket.socket(family, socket.SOCK_DGRAM).sendto(bytes(int(size)), (address, 5000))
"""


def _datagram(address: str, size: int) -> None:
    _run(_GUEST, f"{sys.executable} -c {shlex.quote(_SEND)} {address} {size}")


def _connection(address: str, request: bytes, answer: bytes) -> None:
    with _background(_PEER, f"nc -l -N {address} 8080", stdin=answer):
        time.sleep(0.5)
        _run(_GUEST, f"nc -w 1 {address} 8080", stdin=request)


@contextmanager
def _wire(mtu: int) -> Iterator[None]:
    """The two namespaces and the wire between them, for as long as it is needed."""
    with ExitStack() as stack:
        for space in _MAC:
            subprocess.run(["ip", "netns", "add", space], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", space], check=True)
        _run(_GUEST, f"ip link add eth0 type veth peer name eth0 netns {_PEER}")
        for space, mac in _MAC.items():
            _run(space, "ip link set lo up")
            _run(space, "ethtool -K eth0 tx off rx off tso off gso off gro off")
            _run(space, f"ip link set eth0 address {mac} mtu {mtu} addrgenmode none up")
        yield


@contextmanager
def _recording(name: str) -> Iterator[None]:
    path = (_FOLDER / name).with_suffix(".pcap")
    with _background(_GUEST, f"dumpcap -q -P -i eth0 -w {shlex.quote(str(path))}"):
        time.sleep(1.5)
        yield
        time.sleep(0.5)
    path.chmod(0o644)


@contextmanager
def _background(space: str, command: str, stdin: bytes = b"") -> Iterator[None]:
    process = subprocess.Popen(
        _inside(space, command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        process.stdin.write(stdin)
        process.stdin.close()
        yield
    finally:
        process.terminate()
        process.wait(10)


def _addresses(addresses: dict[str, str], prefix: int, *, dad: bool = False) -> None:
    for space, address in addresses.items():
        more = "" if dad or "." in address else "nodad"
        _run(space, f"ip address add {address}/{prefix} dev eth0 {more}")


def _run(space: str, command: str, stdin: bytes = b"", check: bool = True) -> None:
    subprocess.run(_inside(space, command), input=stdin, check=check, stdout=subprocess.DEVNULL)


def _inside(space: str, command: str) -> list[str]:
    return ["ip", "netns", "exec", space, *shlex.split(command)]


if __name__ == "__main__":
    main()
