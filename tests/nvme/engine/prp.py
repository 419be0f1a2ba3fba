"""PRPs as a driver makes them, from NVM Express Base 2.0, 4.1.1."""

import random
from dataclasses import dataclass, field

__all__ = ["PAGE", "Pages", "Prp"]

PAGE = 4096


@dataclass
class Prp:
    """A command's two entries, its lists, and where its data then lies.

    Members
    -------
    segments
        Address and length of each piece, in the order of the data.
    lists
        Addresses and entries of the lists.
    """

    prp1: int = 0
    prp2: int = 0
    segments: list[tuple[int, int]] = field(default_factory=list)
    lists: list[tuple[int, list[int]]] = field(default_factory=list)


class Pages:
    """Hands out pages of host memory, none of them twice."""

    def __init__(self, rng: random.Random):
        self._rng = rng
        self._used: set[int] = set()

    def page(self) -> int:
        """Address of a page that nobody has."""
        while True:
            number = self._rng.choice(
                [self._rng.randrange(1, 1 << 20), self._rng.randrange(1 << 51, 1 << 52)]
            )
            if number not in self._used:
                self._used.add(number)
                return number * PAGE

    def prp(self, length: int, offset: int = 0, list_offset: int = 0) -> Prp:
        """Entries for ``length`` bytes, ``offset`` into a page.

        A list begins ``list_offset`` bytes into a page. Where what is left of that page does
        not hold all entries, the last of them is the address of the rest.
        """
        prp = Prp(self.page() + offset)
        prp.segments = [(prp.prp1, min(length, PAGE - offset))]
        left = length - prp.segments[0][1]
        while left:
            prp.segments.append((self.page(), min(left, PAGE)))
            left -= prp.segments[-1][1]
        rest = [address for address, _ in prp.segments[1:]]
        if len(rest) == 1:
            prp.prp2 = rest[0]
        elif rest:
            at = prp.prp2 = self.page() + list_offset
            while rest:
                fits = (PAGE - at % PAGE) // 8
                if len(rest) <= fits:
                    prp.lists.append((at, rest))
                    break
                behind = self.page()
                prp.lists.append((at, [*rest[: fits - 1], behind]))
                rest, at = rest[fits - 1 :], behind
        else:
            # Not looked at.
            prp.prp2 = self._rng.randrange(1 << 64)
        return prp
