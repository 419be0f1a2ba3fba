import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from niter import csr
from niter.csr.generate import c_header, register_page, svd
from tests.csr.test_csr import make


def everything():
    (first, _), (second, _) = make(), make()
    counters = csr.CounterBank(["frames", "bytes"], doc="What passed.")
    decoder = csr.Decoder(addr_width=8)
    decoder.add(first.bus, name="first")
    decoder.add(second.bus, name="second", addr=0x20)
    decoder.add(counters.bus, name="rx")
    return decoder.bus.memory_map


def test_same_map_same_text():
    for generate in (c_header, svd):
        assert generate(everything(), name="card") == generate(everything(), name="card")
    page = register_page(everything(), title="Card")
    assert page == register_page(everything(), title="Card")
    assert "| 20:8 |" not in page
    assert "| 21:8 | mtu | rw | `0x5dc` | |" in page.replace("|  |", "| |")
    assert "0 = SLOW, 2 = FAST" in page
    assert "| 3:0 | seen | rw1c | `0x1` |" in page
    assert "| `0x00a8` | bytes |" in page


def test_c_compiles_and_agrees(tmp_path):
    compiler = shutil.which("gcc") or shutil.which("g++")
    assert compiler, "this test needs the C compiler that Verilator needs too"
    memory_map = everything()
    text = c_header(memory_map, name="card")
    (tmp_path / "card.h").write_text(text)
    checks = []
    for info in memory_map.all_resources():
        if isinstance(info.resource, csr.Register):
            name = "CARD_" + "_".join(info.path).upper()
            checks.append(
                f"_Static_assert({name} == {4 * info.start}, {name!r});".replace("'", '"')
            )
    assert len(checks) == 6
    checks += [
        '_Static_assert(CARD_FIRST_CONTROL_MTU_SHIFT == 8, "shift");',
        '_Static_assert(CARD_FIRST_CONTROL_MTU_MASK == 0x3fff << 8, "mask");',
        '_Static_assert(CARD_FIRST_CONTROL_SPEED_FAST == 2, "enumerator");',
        '_Static_assert(CARD_RX_COUNTERS_BYTES_HIGH == CARD_RX_COUNTERS_BYTES_LOW + 4, "");',
    ]
    source = '#include "card.h"\n#include "card.h"\n' + "\n".join(checks)
    (tmp_path / "check.c").write_text(source)
    subprocess.run(
        [compiler, "-x", "c", "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "check.c"],
        cwd=tmp_path,
        check=True,
    )


def test_svd_tells_every_register_once():
    device = ElementTree.fromstring(svd(everything(), name="card", base=0x1000_0000).encode())
    found = {}
    for peripheral in device.iter("peripheral"):
        base = int(peripheral.findtext("baseAddress"), 0)
        for register in peripheral.iter("register"):
            address = base + int(register.findtext("addressOffset"), 0)
            name = f"{peripheral.findtext('name')}_{register.findtext('name')}"
            assert address not in found.values()
            found[name] = address
    assert found["second_events"] == 0x1000_0084
    assert found["rx_counters_bytes_low"] == 0x1000_00A8
    assert len(found) == 10
    field = next(f for f in device.iter("field") if f.findtext("name") == "seen")
    assert field.findtext("modifiedWriteValues") == "oneToClear"
    assert [v.findtext("name") for v in device.iter("enumeratedValue")][:2] == ["SLOW", "FAST"]
    assert not re.search(r"20\d\d-\d\d", svd(everything(), name="card"))


def test_unknown_resource():
    memory_map = csr.MemoryMap(addr_width=1)
    memory_map.add_resource(object(), name="thing")
    with pytest.raises(TypeError, match="'thing' is of no kind that can be described"):
        c_header(memory_map, name="card")
