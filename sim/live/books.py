"""The balance of a round: what was offered, what arrived, what the card says it dropped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from .card import RunningCard

__all__ = ["MARK", "Books", "SoakError", "balance", "counters"]

#: Bytes of the serial number that each datagram begins with, and where it stands in a frame.
MARK = 8
_MARK_AT = 42
#: Counters of a bank that do not count what was dropped.
_PASSED = ("frames", "bytes")


class SoakError(Exception):
    """A round found what must not be."""


@dataclass
class Books:
    """One direction of a round.

    Members
    -------
    expected
        Frames that may pass and have not arrived, with where they must, by serial number.
    offered, wrong, arrived
        Frames in all, those that may not pass, and those that arrived as they must.
    """

    expected: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    offered: int = 0
    wrong: int = 0
    arrived: int = 0

    def expect(self, where: int, frame: bytes) -> None:
        """A frame may pass."""
        self.expected[frame[_MARK_AT : _MARK_AT + MARK]] = where, frame

    def check(self, where: int, frame: bytes) -> None:
        """A frame has arrived.

        Raises
        ------
        SoakError
            It was not sent there, or not so, or came before.
        """
        found = self.expected.pop(frame[_MARK_AT : _MARK_AT + MARK], None)
        if found != (where, frame):
            raise SoakError(f"at {where} arrives what nobody sent there: {frame[:64].hex()}")
        self.arrived += 1


def counters(card: RunningCard) -> dict[str, int]:
    """All counters that are not zero, by bank and name; and frames that the wire did not take."""
    counted = {
        f"{bank}.{name}": value
        for bank in card.control.banks()
        for name, value in card.counters(bank).items()
    }
    counted["wire.lost"] = card.control.status()["ports"][0]["lost"]
    return counted


def balance(
    before: Mapping[str, int], after: Mapping[str, int], sent: Books, received: Books
) -> None:
    """Offered is arrived and dropped, each way.

    Raises
    ------
    SoakError
        It is not.
    """
    news = Counter(after)
    news.subtract(before)

    def total(prefix: str = "", suffix: str | tuple[str, ...] = "") -> int:
        return sum(
            value
            for name, value in news.items()
            if name.startswith(prefix) and name.endswith(suffix)
        )

    def dropped(prefix: str) -> int:
        return total(prefix) - total(prefix, _PASSED)

    lost = total("wire.lost")
    outward = dropped("overlay.counters.counters.transmit_") + lost
    outward += total(suffix=("_tx_dropped", "_tx_failed", "tx_discarded"))
    if outward != sent.wrong + lost:
        raise SoakError(f"{sent.wrong} frames may not pass, {outward} are dropped: {+news}")
    if sent.offered != sent.arrived + outward:
        raise SoakError(f"outward {sent.offered} are not {sent.arrived} and {outward}: {+news}")
    inward = dropped("overlay.counters.counters.receive_")
    inward += dropped("mac_0.counters.counters.rx_")
    inward += total(suffix=("_rx_dropped", "_rx_failed"))
    if received.offered != received.arrived + inward:
        raise SoakError(
            f"inward {received.offered} are not {received.arrived} and {inward}: {+news}"
        )
