"""What a link permits: the yardstick that every throughput figure is held against.

Nothing here looks at the gateware. A figure's limit is the number of bytes that PCI
Express framing and the ring's format oblige both ends to move for one frame, against
the bytes that one lane or one port carries in a second. The slower direction decides.

Counted: a TLP's header, payload rounded up to whole words, sequence number, LCRC and
the two framing symbols (PCI Express Base 4.0, 2.2 and 4.2.2). Not counted: DLLPs, skip
ordered sets and anything that waits, so that no card can reach 100 per cent.
"""

from dataclasses import dataclass

__all__ = [
    "Limit",
    "completion_bytes",
    "ethernet_frames_per_second",
    "lane_bytes_per_second",
    "nvme_read",
    "nvme_write",
    "read_request_bytes",
    "virtio_split_rx",
    "virtio_split_tx",
    "write_bytes",
]

#: STP and END symbols, two bytes of sequence number, four of LCRC.
FRAMING = 8
#: Headers in bytes: a memory request with a 64-bit address, and a completion.
REQUEST_HEADER = 16
COMPLETION_HEADER = 12
#: A doorbell and an MSI-X message go to 32-bit addresses: three header words and one of data.
SHORT_WRITE = FRAMING + 12 + 4
#: Length of virtio_net_hdr with VIRTIO_F_VERSION_1 (virtio 1.2, 5.1.6).
VIRTIO_NET_HEADER = 12


@dataclass(frozen=True)
class Limit:
    """The bytes that one frame costs in each direction of the lane, and what follows.

    Parameters
    ----------
    upstream, downstream
        Bytes on the lane for one frame, card to root and root to card.
    gts
        Signalling rate of the lane, in GT/s.
    """

    upstream: float
    downstream: float
    gts: float

    @property
    def frames_per_second(self) -> float:
        """Frames that the busier direction can carry."""
        return lane_bytes_per_second(self.gts) / max(self.upstream, self.downstream)


def lane_bytes_per_second(gts: float) -> float:
    """Bytes that one lane carries in a second after 8b/10b coding."""
    return gts * 1e9 / 10


def _packets_bytes(length: int, payload: int, header: int) -> int:
    """Bytes on the lane for ``length`` bytes in TLPs of at most ``payload`` bytes each."""
    whole, rest = divmod(length, payload)
    last = FRAMING + header + -(-rest // 4) * 4 if rest else 0
    return whole * (FRAMING + header + payload) + last


def write_bytes(length: int, payload: int = 128) -> int:
    """Bytes on the lane for a write of ``length`` bytes to an aligned 64-bit address."""
    return _packets_bytes(length, payload, REQUEST_HEADER)


def completion_bytes(length: int, payload: int = 128) -> int:
    """Bytes on the lane for the completions of an aligned read of ``length`` bytes."""
    return _packets_bytes(length, payload, COMPLETION_HEADER)


def read_request_bytes(length: int, request: int = 512) -> int:
    """Bytes on the lane for the requests of a read of ``length`` bytes at Max_Read_Request_Size."""
    return -(-length // request) * (FRAMING + REQUEST_HEADER)


def _ring(batch: int, payload: int) -> tuple[float, float]:
    """Ring traffic of one single-descriptor chain when ``batch`` are handled at once.

    Downstream: doorbell, available index, available entries, descriptors. Upstream: the
    requests for those reads, the used entries, the used index and the interrupt.
    """
    reads = (2, 2 * batch, 16 * batch)
    down = SHORT_WRITE + sum(completion_bytes(size, payload) for size in reads)
    up = sum(read_request_bytes(size) for size in reads)
    up += write_bytes(8 * batch, payload) + write_bytes(2, payload) + SHORT_WRITE
    return up / batch, down / batch


def virtio_split_tx(length: int, gts: float, batch: int = 8, payload: int = 128) -> Limit:
    """Limit of transmit: the card reads a frame of ``length`` bytes and its header, one buffer."""
    up, down = _ring(batch, payload)
    size = VIRTIO_NET_HEADER + length
    return Limit(up + read_request_bytes(size), down + completion_bytes(size, payload), gts)


def virtio_split_rx(length: int, gts: float, batch: int = 8, payload: int = 128) -> Limit:
    """Limit of receive: a frame of ``length`` bytes and its header, written to one buffer."""
    up, down = _ring(batch, payload)
    return Limit(up + write_bytes(VIRTIO_NET_HEADER + length, payload), down, gts)


def _nvme(payload: int) -> tuple[float, float]:
    """Queue traffic of one NVMe command whose completion interrupts.

    Downstream: both doorbells and the submission entry. Upstream: the request for that, the
    completion entry and the interrupt.
    """
    down = 2 * SHORT_WRITE + completion_bytes(64, payload)
    return read_request_bytes(64) + write_bytes(16, payload) + SHORT_WRITE, down


def nvme_read(length: int, gts: float, payload: int = 128) -> Limit:
    """Limit of NVMe reads of ``length`` bytes, at most two pages: no PRP list."""
    up, down = _nvme(payload)
    return Limit(up + write_bytes(length, payload), down, gts)


def nvme_write(length: int, gts: float, payload: int = 128) -> Limit:
    """Limit of NVMe writes of ``length`` bytes, at most two pages: no PRP list."""
    up, down = _nvme(payload)
    return Limit(up + read_request_bytes(length), down + completion_bytes(length, payload), gts)


def ethernet_frames_per_second(length: int, bits_per_second: float = 1e9) -> float:
    """Frames of ``length`` bytes, without FCS, that one Ethernet port carries (IEEE 802.3, 4.4.2).

    Preamble and start delimiter 8, FCS 4, inter-frame gap 12; short frames are padded to 60.
    """
    return bits_per_second / 8 / (8 + max(length, 60) + 4 + 12)
