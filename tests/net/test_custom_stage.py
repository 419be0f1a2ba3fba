"""The stage that docs/net.md shows, exactly as it stands there."""

import re
from pathlib import Path

import pytest

from niter.interface import Verdict
from niter.net import Deliver, Overlay, Parser, Pipeline
from tests.support.csr import write
from tests.support.stream import Bench, Packet

PAGE = Path(__file__).parents[2] / "docs" / "net.md"


@pytest.fixture(scope="module")
def page():
    """Names that the page's code defines."""
    text = PAGE.read_text()
    code = []
    for mark in ("example", "listing"):
        found = re.search(rf"<!-- {mark}: begin -->\n```python\n(.*?)```", text, re.DOTALL)
        assert found, f"the page has no {mark}"
        code.append(found[1])
    names: dict = {"__name__": "docs_net"}
    exec("\n".join(code), names)
    return names


def test_filters_behind_a_parser(page):
    config = page["config"]
    stage = page["VlanFilter"](config)
    dut = Pipeline({"parser": Parser(config), "filter": stage, "deliver": Deliver(config)})
    bench = Bench(dut, 1)
    eth = bytes.fromhex("020000000002 020000000001")
    untagged, inside, outside = (
        eth + tag + bytes.fromhex("88b5") + bytes(46)
        for tag in (b"", bytes.fromhex("81002007"), bytes.fromhex("81000008"))
    )
    sent = [
        Packet(frame, sideband={"meta": {"length": len(frame), "function": function}})
        for function in (0, 1)
        for frame in (untagged, inside, outside)
    ]

    where = dut.csr.memory_map.find("filter", "function0").start

    async def control(ctx):
        await write(ctx, dut.csr, where, 7 | 1 << 12)

    bench.add(control)
    bench.send(dut.i, sent)
    out = bench.receive(dut.o, len(sent))
    bench.run()
    refused = [packet.sideband["meta"].verdict == Verdict.PORT_CLOSED for packet in out]
    assert refused == [True, False, True, False, False, False]
    assert [packet.data for packet in out] == [packet.data for packet in sent]


def test_stands_in_the_overlay(page):
    paths = [info.path for info in Overlay(page["config"]).csr.memory_map.all_resources()]
    assert ("transmit", "filter", "function1") in paths
