"""The core's Verilog: what is left of it is what was meant to be."""

import re
from dataclasses import replace

import pytest

from niter.verilog import sources


def test_it_has_no_control_registers_and_no_system_instructions():
    (source,) = sources("VexRiscv core (")
    text = source.text()
    assert re.search(r"decode_IS_CSR = 1'b0;", text)
    legal = re.findall(r"LEGAL_INSTRUCTION\w* = (.*);", text)
    opcodes = {int(each, 16) & 0x7F for line in legal for each in re.findall(r"== 32'h(\w+)", line)}
    system, atomic = 0x73, 0x2F
    assert opcodes and not opcodes & {system, atomic}


def test_another_edition_of_the_package_is_noticed():
    (source,) = sources("VexRiscv core (")
    with pytest.raises(ValueError, match="0 times, not 1"):
        replace(source, changes=(("no such text", "", 1),)).text()
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        replace(source, package="no_such_package").text()


def test_a_design_without_a_core_needs_nothing():
    assert sources("module top; endmodule") == []
