"""Verilog that is not ours: modules that Amaranth instantiates and a package brings along."""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "sources"]


@dataclass(frozen=True)
class Source:
    """A file of a package, and what is changed in it.

    Parameters
    ----------
    package, file
        Where it is.
    changes
        Regular expression, what its matches become, and how many there are.
    """

    package: str
    file: str
    changes: tuple[tuple[str, str, int], ...] = ()

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(self.file).name

    def text(self) -> str:
        """The Verilog, changed.

        Raises
        ------
        ModuleNotFoundError
            The package is not installed.
        ValueError
            Something to be changed is not there, or not as often as it should be.
        """
        spec = importlib.util.find_spec(self.package)
        if spec is None:
            raise ModuleNotFoundError(f"{self.name} comes with {self.package}, which is missing")
        text = Path(spec.submodule_search_locations[0], self.file).read_text()
        for pattern, replacement, times in self.changes:
            text, found = re.subn(pattern, replacement, text)
            if found != times:
                raise ValueError(f"{self.name} has {pattern!r} {found} times, not {times}")
        return text


#: The source of each module.
_MODULES: Mapping[str, Source] = {
    "VexRiscv": Source(
        "luna_soc",
        "gateware/cpu/verilog/vexriscv/vexriscv_imc.v",
        (
            # Of the control and status registers only the trap vector, 0x305, is decoded. The
            # others, counters among them, can then never be read, and synthesis takes them away;
            # for software they are no instructions. Interrupts cannot be enabled.
            (
                r"(execute_CsrPlugin_csr_\d+ <=) \(decode_INSTRUCTION.* == 12'h(?!305)\w+\);",
                r"\1 1'b0;",
                22,
            ),
            # Nothing depends on what a read gives in the cycle of a write to the same place: the
            # core forwards its registers, and a line that is being filled is not valid.
            (
                r"(?m)^(  reg +\[\d+:0\] \w+ \[0:\d+\])",
                r'  (* ram_style = "block", no_rw_check *)\1',
                3,
            ),
        ),
    ),
}


def sources(text: str) -> list[Source]:
    """The Verilog that a design needs, whose RTLIL or Verilog text this is."""
    return [source for name, source in _MODULES.items() if re.search(rf"\b{name}\b", text)]
