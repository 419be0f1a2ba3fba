"""Verilog that is not ours: modules that Amaranth instantiates and a package brings along."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["sources"]

#: Package and file of each module.
_MODULES: Mapping[str, tuple[str, str]] = {
    "VexRiscv": ("pythondata_cpu_vexriscv", "verilog/VexRiscv_IMAC.v"),
}


def sources(text: str) -> list[Path]:
    """The Verilog files that a design needs, whose RTLIL or Verilog text this is.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    """
    found = []
    for module, (package, file) in _MODULES.items():
        if not re.search(rf"\b{module}\b", text):
            continue
        spec = importlib.util.find_spec(package)
        if spec is None:
            raise ModuleNotFoundError(f"Module {module} comes with {package}, which is missing")
        found.append(Path(spec.submodule_search_locations[0], file))
    return found
