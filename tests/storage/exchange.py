"""Sends frames on an interface and prints the answers: ``python -m tests.storage.exchange IF``.

A line of standard input is a frame in hexadecimal; a line of output is its answer, or empty.
It runs inside of a network namespace.
"""

import socket
import sys

__all__ = ["main"]

_ETHERTYPE = 0x88A2


def main(interface: str) -> None:
    """Exchange frames until the input ends."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
    wire.bind((interface, _ETHERTYPE))
    wire.settimeout(2)
    for line in sys.stdin:
        frame = bytes.fromhex(line)
        wire.send(frame)
        answer = b""
        try:
            # Others' frames, and the announcement that a target makes, have other tags.
            while answer[20:24] != frame[20:24]:
                answer = wire.recv(9100)
        except TimeoutError:
            answer = b""
        print(answer.hex(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
