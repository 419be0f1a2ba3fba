import random

import pytest
from amaranth import Module
from amaranth.lib import data

from niter.interface import Beat
from niter.stream import Arbiter, Demux
from tests.support.stream import SEEDS, STALLS, Bench, Packet, random_packets


class Tagged(data.Struct):
    packet: Beat
    tag: 9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("inputs", [1, 2, 3, 5])
def test_arbiter_keeps_packets_whole(inputs, stall, seed):
    dut = Arbiter(Tagged, inputs)
    rng = random.Random(seed)
    bench = Bench(dut, seed)
    sent = []
    for index in range(inputs):
        packets = random_packets(rng, 20, errors=0.2)
        for packet in packets:
            packet.sideband = {"tag": index}
        sent.append(packets)
        bench.send(dut.i[index], packets, stall=stall[0])
    taken = bench.receive(dut.o, 20 * inputs, stall=stall[1])
    cycles = bench.run()
    for index in range(inputs):
        assert [p for p in taken if p.sideband["tag"] == index] == sent[index]
    if stall == (0, 0):
        assert cycles <= sum(-(-len(p.data) // 8) for p in taken) + 4


def test_arbiter_weights():
    dut = Arbiter(Tagged, 3, weights=[1, 3, 2])
    bench = Bench(dut, 1)
    for index in range(3):
        bench.send(dut.i[index], [Packet(bytes(9), sideband={"tag": index})] * 30)
    taken = bench.receive(dut.o, 90)
    bench.run()
    order = [p.sideband["tag"] for p in taken]
    assert order[:18] == [0, 1, 1, 1, 2, 2] * 3
    # With the others gone, one input gets everything.
    assert order[-10:] == [0] * 10


def test_arbiter_of_bare_beats():
    dut = Arbiter(Beat, 2)
    bench = Bench(dut, 1)
    sent = [random_packets(random.Random(n), 10) for n in range(2)]
    for index in range(2):
        bench.send(dut.i[index], sent[index])
    taken = bench.receive(dut.o, 20)
    bench.run()
    assert sorted(p.data for p in taken) == sorted(p.data for p in sent[0] + sent[1])


def test_arbiter_of_single_transfers():
    dut = Arbiter(8, 2, packet=False)
    bench = Bench(dut, 1)
    bench.put(dut.i[0], [0] * 20)
    bench.put(dut.i[1], [1] * 20)
    taken = bench.get(dut.o, 40)
    assert bench.run() <= 44
    assert taken[:20] == [0, 1] * 10


def test_arbiter_errors():
    with pytest.raises(ValueError, match="An arbiter needs at least one input, not 0"):
        Arbiter(Beat, 0)
    with pytest.raises(ValueError, match=r"Weights must be 2 positive numbers, not \[1, 0\]"):
        Arbiter(Beat, 2, weights=[1, 0])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("outputs", [1, 3])
def test_demux(outputs, stall, seed):
    dut = Demux(Tagged, outputs)
    top = Module()
    top.submodules.dut = dut
    top.d.comb += dut.select.eq(dut.i.payload.tag)
    rng = random.Random(seed)
    sent = random_packets(rng, 40)
    for packet in sent:
        packet.sideband = {"tag": rng.randrange(4 if outputs == 3 else 1)}
    bench = Bench(top, seed)
    bench.send(dut.i, sent, stall=stall[0])
    expected = [[p for p in sent if p.sideband["tag"] == n] for n in range(outputs)]
    taken = [bench.receive(dut.o[n], len(expected[n]), stall=stall[1]) for n in range(outputs)]
    cycles = bench.run()
    assert taken == expected
    if stall == (0, 0):
        assert cycles <= sum(-(-len(p.data) // 8) for p in sent) + 4


def test_demux_errors():
    with pytest.raises(ValueError, match="at least one output, not 0"):
        Demux(Beat, 0)
