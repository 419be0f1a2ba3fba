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


#: The core executes from the first 256 KiB of its address space: its program counter has no bits
#: above.
_CODE_BITS = 18

_CODE_MASK = f"32'h{(1 << _CODE_BITS) - 1:x}"

#: The source of each module.
_MODULES: Mapping[str, Source] = {
    "VexRiscv": Source(
        "luna_soc",
        "gateware/cpu/verilog/vexriscv/vexriscv_imc.v",
        (
            # There are no control and status registers, no system instructions (ecall, mret, wfi)
            # and no atomic ones: neither decoded nor legal. What is behind them, counters,
            # interrupts and the causes of traps among it, synthesis then takes away.
            (r"(assign decode_(?:IS_CSR|MEMORY_ATOMIC) =) .*;", r"\1 1'b0;", 2),
            (r"(assign _zz_decode_ENV_CTRL_2 =) .*;", r"\1 3'b000;", 1),
            (r"\(\(decode_INSTRUCTION & _zz_decode_LEGAL_INSTRUCTION\) == 32'h\w+\)", "1'b0", 1),
            (r"\(_zz_decode_LEGAL_INSTRUCTION_1 == _zz_decode_LEGAL_INSTRUCTION_2\)", "1'b0", 1),
            (r"\(\(decode_INSTRUCTION & 32'hf800707f\) == 32'h1800202f\)", "1'b0", 1),
            (r"(assign _zz_decode_LEGAL_INSTRUCTION_16 =) .*;", r"\1 1'b0;", 1),
            (r"(assign _zz_decode_LEGAL_INSTRUCTION_17 =) .*;", r"\1 3'b000;", 1),
            # A trap goes to the word behind the reset vector.
            (
                r"(CsrPlugin_jumpInterface_payload =) \{CsrPlugin_xtvec_base,2'b00\};",
                r"\1 externalResetVector + 32'd4;",
                1,
            ),
            # Wherever an address of code comes from.
            (
                r"(IBusCachedPlugin_fetchPc_pc)\[0\] = 1'b0;",
                rf"\1 = \1 & {_CODE_MASK} & ~32'd1;",
                1,
            ),
            (
                r"(assign IBusCachedPlugin_(?:jump_pcLoad_payload|decodePc_pcPlus) =) (.*);",
                rf"\1 \2 & {_CODE_MASK};",
                2,
            ),
            # Whether the cache has a line need not be known before what it has there is made an
            # instruction of: in a cycle without one nobody looks at the result.
            (
                r"(assign IBusCachedPlugin_decompressor_(bufferValid|throw2Bytes)Patched =) .*;",
                r"\1 IBusCachedPlugin_decompressor_\2;",
                2,
            ),
            # An access that is not aligned waits for the bus, as any other, before it is a trap:
            # whether the core waits need not depend on the address.
            (
                r"(assign when_DBusSimplePlugin_l436 = .*) "
                r"&& \(! execute_DBusSimplePlugin_skipCmd\)(.*)",
                r"\1\2",
                1,
            ),
            # Synthesis cannot know of a memory that some of its bits are always zero: the cache's
            # tags above those of code, and its errors, which the bus does not have.
            (
                r"(fetchStage_read_waysValues_0_tag_address) == "
                r"(io_cpu_fetch_mmuRsp_physicalAddress)\[31 : 12\]",
                rf"\1[{_CODE_BITS - 13}:0] == \2[{_CODE_BITS - 1}:12]",
                1,
            ),
            (r"(assign fetchStage_read_waysValues_0_tag_error =) .*;", r"\1 1'b0;", 1),
            # Synthesis would have to keep these signals as they are.
            (r"\(\* keep , syn_keep \*\) ", "", 5),
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
