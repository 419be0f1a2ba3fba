"""The core's Verilog: what is left of it is what was meant to be."""

import re
from dataclasses import replace

import pytest

from niter.verilog import sources


def test_of_the_control_registers_it_has_the_trap_vector():
    (source,) = sources("VexRiscv core (")
    decoded = re.findall(r"execute_CsrPlugin_csr_\d+ <= (.*);", source.text())
    assert len(decoded) == 23
    numbers = {each.rpartition("h")[2].strip("()") for each in decoded if each != "1'b0"}
    assert numbers == {"305"}


def test_another_edition_of_the_package_is_noticed():
    (source,) = sources("VexRiscv core (")
    with pytest.raises(ValueError, match="0 times, not 1"):
        replace(source, changes=(("no such text", "", 1),)).text()
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        replace(source, package="no_such_package").text()


def test_a_design_without_a_core_needs_nothing():
    assert sources("module top; endmodule") == []
