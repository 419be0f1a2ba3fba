"""Models in this process: what goes in comes out, and a broken contract is seen."""

import random

import pytest
from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import Beat, PacketStream
from niter.stream import Fifo
from sim.direct import Model, Stream, build_model


class Toy(wiring.Component):
    """A queue of packets, and a counter that goes on whether it is taken or not."""

    i: In(PacketStream)
    o: Out(PacketStream)
    restless: Out(stream.Signature(20))
    sum: Out(8)
    step: In(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Fifo(Beat, 16)
        connect(m, flipped(self.i), queue.i)
        connect(m, queue.o, flipped(self.o))
        count = Signal(20)
        m.d.sync += [count.eq(count + 1), self.sum.eq(self.sum + self.step)]
        m.d.comb += [self.restless.valid.eq(self.step[7]), self.restless.payload.eq(count)]
        return m


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_model(Toy(), tmp_path_factory.mktemp("models"))


def test_packets_pass(library):
    model = Model(library, 3)
    source = Stream(model, "i", Beat, stall=0.3)
    sink = Stream(model, "o", Beat, stall=0.3)
    rng = random.Random(7)
    sent = [rng.randbytes(rng.randint(1, 60)) for _ in range(50)]
    for number, packet in enumerate(sent):
        source.put(packet, error=number % 7 == 3)
    assert len(source) == sum(-(-len(packet) // 8) for packet in sent)
    got = []
    while len(got) < len(sent):
        before = model.now
        model.run(1000)
        assert model.now > before and len(sink)
        got.append(sink.take())
    assert got == [None if n % 7 == 3 else packet for n, packet in enumerate(sent)]
    assert not len(source) and not len(sink)


def test_pins(library):
    model = Model(library)
    model.poke("step", 3)
    model.run(1)
    assert model.peek("sum") == 3
    model.run(1)
    assert model.peek("sum") == 6


def test_a_payload_that_changes_is_seen(library):
    model = Model(library, 1)
    Stream(model, "restless", 20, stall=0.5)
    model.poke("step", 1 << 7)
    with pytest.raises(AssertionError, match="restless: valid or payload changed before ready"):
        for _ in range(100):
            model.run(1)


def test_names(library):
    model = Model(library)
    with pytest.raises(ValueError, match="The model has no stream 'nobody'"):
        Stream(model, "nobody", 8)
