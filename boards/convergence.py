"""Tells from what nextpnr's routers say whether they come to an end: some netlists have none."""

import re

__all__ = ["Convergence"]

#: Of a round of router2: its number, and by how many too many nets wires are used.
_ROUND = re.compile(r"Info:\s+iter=(\d+) .*\boveruse=(\d+)")
#: Of each thousand connections of router1: how many it has made, and how many are left.
_THOUSAND = re.compile(r"Info:\s+(\d+) \|\s*\d+\s+\d+ \|\s*\d+\s+\d+ \|\s*(\d+)\s*\|")

#: What is so little that it may need many rounds, which are short ones then.
_LITTLE = 100
#: Rounds, or thousands, without a new least that are waited for; with little left, and with much.
_PATIENCE_LITTLE, _PATIENCE_MUCH = 100, 12
_PATIENCE_THOUSANDS = 150


class Convergence:
    """Reads along, and says when to give up.

    What is left falls from round to round while a router finds its way. Where it does not, it grows
    again, or stands, for ever.

    Attributes
    ----------
    least
        The least that was left so far.
    """

    def __init__(self):
        self.least: int | None = None
        self._found = 0
        self._seen = 0

    def hopeless(self, line: str) -> str:
        """Why there is no hope any more, or nothing.

        Parameters
        ----------
        line
            The next that nextpnr has written.
        """
        if found := _ROUND.match(line):
            number, left = map(int, found.groups())
            # Timing-driven routing has further passes, whose rounds are counted from one again.
            if number <= self._seen:
                self.least = None
            self._seen = number
            patience = _PATIENCE_MUCH if left > _LITTLE else _PATIENCE_LITTLE
            return self._judge(number, left, patience, "wires used twice", "rounds")
        if found := _THOUSAND.match(line):
            number, left = map(int, found.groups())
            return self._judge(
                number // 1000, left, _PATIENCE_THOUSANDS, "connections to make", "thousand"
            )
        return ""

    def _judge(self, number: int, left: int, patience: int, what: str, unit: str) -> str:
        if self.least is None or left < self.least:
            self.least, self._found = left, number
        if number - self._found < patience:
            return ""
        return (
            f"after {number} {unit} there are {left} {what}, and there were {self.least} after "
            f"{self._found}"
        )
