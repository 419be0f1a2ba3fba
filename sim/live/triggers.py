"""A verilated model whose clocks need no pins: who runs it says itself what has an edge.

Verilator compares every clock with what it was, twice for each evaluation, and then asks before
each piece of code whether one of the piece's clocks had an edge. Of a model with a clock for each
part, both cost more than the code that is run. So the triggers are set from outside, and
``eval_nba`` is called alone; and it asks once for several pieces.

That is exact where no clock is made within the model, and where nothing follows an input without a
register between: there is nothing else in an evaluation then.
"""

import re
from pathlib import Path

__all__ = ["Triggers", "TriggersError"]

_INDEX = re.compile(
    r"""VL_DBG_MSGS\(" +'" \+ tag \+ "' region trigger index (\d+) is active: @\(\w+ (\w+)\)"""
)
_NBA = re.compile(r"^void \w+___eval_nba\(\w+\* vlSelf\) \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
_PIECE = re.compile(r"^    if \((.*?)\) \{\n.*?^    \}\n", re.MULTILINE | re.DOTALL)
_ASKED = re.compile(r"(?:0x)?([0-9a-f]+)ULL\s+& vlSelfRef\.__VnbaTriggered\[(\d+)U\]")
#: A mask for several words at once, which is how it writes equal ones.
_WORD = r"vlSelfRef\.__VnbaTriggered\[\d+U\]"
_EQUAL = re.compile(rf"(\w+ULL)\s+& \(({_WORD}(?:\s+\| {_WORD})+)\)")
_WORD_BITS = 64
#: Pieces that are asked for together.
_GROUP = 8


class TriggersError(Exception):
    """Verilator wrote something else than was expected, or the model cannot be run so."""


class Triggers:
    """The triggers of a model that Verilator has written.

    Parameters
    ----------
    folder
        Where it wrote to.
    prefix
        What it calls the model.

    Attributes
    ----------
    index : dict of str to int
        Number of each clock's trigger.

    Raises
    ------
    TriggersError
        When an input reaches logic without a register, or Verilator writes another text by now.
    """

    def __init__(self, folder: Path, prefix: str):
        self.folder, self.prefix = folder, prefix
        self.index: dict[str, int] = {}
        for path in sorted(folder.glob(f"{prefix}*.cpp")):
            text = path.read_text()
            if "___eval_phase__ico(" in text:
                raise TriggersError("an input reaches logic without a register")
            found = text.split("___dump_triggers__act(", 1)
            for number, clock in _INDEX.findall(found[1] if len(found) > 1 else ""):
                self.index[clock] = int(number)
        if not self.index:
            raise TriggersError("no triggers are named")

    def shorten(self) -> None:
        """Have the model ask once for several pieces of code."""
        for path in sorted(self.folder.glob(f"{self.prefix}*.cpp")):
            text = path.read_text()
            match = _NBA.search(text)
            if match and "__VnbaTriggered[" in match[0]:
                short = _shortened(match[0])
                path.write_text(text[: match.start()] + short + text[match.end() :])
                return
        raise TriggersError("no eval_nba")


def _spread(function: str) -> str:
    """Text that asks for each word by itself."""

    def alone(match: re.Match) -> str:
        words = re.split(r"\s+\| ", match[2])
        return " | ".join(f"({match[1]} & {word})" for word in words)

    return _EQUAL.sub(alone, function)


def _shortened(function: str) -> str:
    head, rest = _spread(function).split("    // Body\n", 1)
    pieces = list(_PIECE.finditer(rest))
    if "".join(piece[0] for piece in pieces) + "}\n" != rest:
        raise TriggersError("eval_nba is not a row of conditions")
    if len(_ASKED.findall(rest)) != rest.count("__VnbaTriggered["):
        raise TriggersError("eval_nba asks for triggers in another way")
    words = 1 + max(int(word) for _, word in _ASKED.findall(rest))
    lines = [head, "    // Body\n"]
    lines += [f"    const QData t{n} = vlSelfRef.__VnbaTriggered[{n}U];\n" for n in range(words)]
    for at in range(0, len(pieces), _GROUP):
        group = pieces[at : at + _GROUP]
        asked = [0] * words
        for piece in group:
            for mask, word in _ASKED.findall(piece[1]):
                asked[int(word)] |= int(mask, 16)
        condition = " | ".join(f"({mask:#x}ULL & t{n})" for n, mask in enumerate(asked) if mask)
        lines.append(f"    if ({condition}) {{\n")
        lines += [_own(piece) for piece in group]
        lines.append("    }\n")
    return "".join([*lines, "}\n"])


def _own(piece: re.Match) -> str:
    """A piece with the triggers from where they are at hand."""
    condition = re.sub(r"vlSelfRef\.__VnbaTriggered\[(\d+)U\]", r"t\1", piece[1])
    return piece[0].replace(piece[1], condition, 1)
