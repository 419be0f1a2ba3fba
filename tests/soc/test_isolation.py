"""No host access reaches the control bus: a walk over the netlist of the whole card.

From the strobes, the address and the data of the control bus backwards through every gate,
flip-flop and memory: what drives them, however many cycles before, is the core, the bus itself
and, for benches, the port ``csr``. The walk ends at the core, which is a program's business. Not a
single net of the link to the host is on the way, nor of the wire.
"""

from collections import defaultdict

import pytest
from amaranth import Value
from amaranth.hdl._ir import Fragment, PortDirection, build_netlist
from amaranth.hdl._nir import Instance, Top
from amaranth.lib.wiring import In

from niter.card import Card, CardConfig, StorageConfig
from niter.net import OverlayConfig
from niter.nvme.config import NvmeConfig
from niter.soc import SocConfig

BUS = ("addr", "w_data", "r_stb", "w_stb")

_NVME = NvmeConfig(functions=1, queues=1, entries=16, namespaces=1)
#: What each kind of card has.
HALVES = {
    "network": {"overlay": OverlayConfig(functions=1)},
    "storage": {
        "overlay": None,
        "storage": StorageConfig(nvme=_NVME, tunnel=True, encryption=True),
    },
}


def _card(halves):
    return Card(CardConfig(**halves, pairs=1, queue_size=16, soc=SocConfig(rom=(1,))))


def _inputs(netlist, nets):
    """Names of the top's inputs, and kinds of instances, that the nets come from."""
    top = netlist.cells[0]
    assert isinstance(top, Top)
    names = {}
    for name, (start, width) in top.ports_i.items():
        for bit in range(start, start + width):
            names[bit] = name
    # A memory's content comes from its write ports.
    written = defaultdict(list)
    for cell in netlist.cells:
        if hasattr(cell, "memory") and hasattr(cell, "data"):
            written[cell.memory].extend(cell.input_nets())
    seen, waiting, found = set(), list(nets), set()
    while waiting:
        net = waiting.pop()
        if net.is_const or net in seen:
            continue
        seen.add(net)
        if net.cell == 0:
            found.add(names[net.bit])
            continue
        cell = netlist.cells[net.cell]
        if isinstance(cell, Instance):
            found.add(f"instance {cell.type}")
            continue
        waiting.extend(cell.input_nets())
        waiting.extend(written[getattr(cell, "memory", None)])
    return found


def _netlist(card):
    ports = [
        (
            "__".join(map(str, path)),
            Value.cast(value),
            PortDirection.Input if member.flow == In else PortDirection.Output,
        )
        for path, member, value in card.signature.flatten(card)
    ]
    return build_netlist(Fragment.get(card, None), ports=ports)


@pytest.mark.parametrize("halves", HALVES.values(), ids=HALVES)
def test_only_the_core_masters_the_control_bus(halves):
    card = _card(halves)
    netlist = _netlist(card)
    bus = card._decoder.bus
    for name in BUS:
        found = _inputs(netlist, netlist.signals[getattr(bus, name)])
        hosts = {each for each in found if each.startswith(("link", "receive", "transmit"))}
        assert not hosts, f"{name} depends on {hosts}"
        assert "instance VexRiscv" in found
        others = {each for each in found if not each.startswith("csr__")}
        assert others <= {"instance VexRiscv", "clk", "rst"}, others
    # The same walk does find the host where it does reach.
    half = card._net or card._storage
    found = _inputs(netlist, netlist.signals[half.function.request.valid])
    assert any(each.startswith("link") for each in found)
