"""The virtio transport: registers, life cycle, doorbells, by a driver model."""

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from cocotb.triggers import ClockCycles, Event

from niter.virtio.net.config import NetConfig, net_device
from niter.virtio.pci import Transport
from niter.virtio.queue.layouts import (
    Fault,
    Notification,
    QueueCommand,
    QueueId,
    QueueOperation,
    RingArea,
)
from sim.harness import Bench, rng
from sim.models.control import ControlBus
from sim.models.hostport import HostPorts
from sim.models.memory import HostMemory
from sim.models.streams import StreamSink, StreamSource, stalls
from sim.models.virtio.bus import DirectBus, FunctionMaster
from sim.models.virtio.specification import Feature, Net, Register
from sim.models.virtio.transport import PciTransport

FUNCTIONS, PAIRS, SIZE = 3, 2, 256
KIND = net_device(PAIRS, SIZE)


class Configured(wiring.Component):
    """A transport with the configuration structures of network devices behind it."""

    def __init__(self):
        self._transport = Transport(KIND, FUNCTIONS)
        self._config = NetConfig(FUNCTIONS, PAIRS)
        members = dict(self._transport.signature.members)
        del members["config"]
        super().__init__({**members, "csr": self._config.signature.members["csr"]})
        self.csr.memory_map = self._config.csr.memory_map

    def elaborate(self, platform):
        m = Module()
        m.submodules.transport = transport = self._transport
        m.submodules.config = self._config
        connect(m, transport.config, self._config.config)
        connect(m, flipped(self.csr), self._config.csr)
        for name, member in self.signature.members.items():
            if name == "csr":
                continue
            if member.is_port:
                m.d.comb += getattr(self, name).eq(getattr(transport, name))
            elif member.flow is wiring.In:
                connect(m, flipped(getattr(self, name)), getattr(transport, name))
            else:
                connect(m, getattr(transport, name), flipped(getattr(self, name)))
        return m


BENCH = Bench(dut=Configured, tier="fast", clock_ns=16)


class Engine:
    """A stand-in for the queue engine: keeps the books of commands and notifications.

    Asserts the contract of ``QueueCommand``: three addresses, then ENABLE, of a queue that
    is not live, and nothing while a DISABLE is not acknowledged.
    """

    def __init__(self, dut, *, stalled: bool = False):
        pauses = (lambda name: stalls(rng(name), 0.4)) if stalled else lambda name: None
        self.clk = dut.clk
        self.commands = StreamSink(dut, "commands", QueueCommand, stalls=pauses("commands"))
        self.done = StreamSource(dut, "commands_done", QueueId, stalls=pauses("done"))
        self.sink = StreamSink(dut, "notifications", Notification, stalls=pauses("notes"))
        self.faults = StreamSource(dut, "faults", Fault)
        #: Live queues, (function, index) to their ENABLE and the addresses of their areas.
        self.live: dict[tuple[int, int], tuple] = {}
        #: Notifications of each queue: None, or the index that came along.
        self.rung: dict[tuple[int, int], list[int | None]] = {}
        #: Cycles until a DISABLE is acknowledged; None for when ``release`` is called.
        self.delay: int | None = 10
        self.disabled: list[tuple[int, int]] = []
        self._areas: dict[tuple[int, int], dict] = {}
        self._released = Event()
        cocotb.start_soon(self._execute())
        cocotb.start_soon(self._listen())

    def release(self):
        """Acknowledge the DISABLE that waits."""
        self._released.set()

    async def _execute(self):
        while True:
            command = await self.commands.recv()
            queue = command.queue.function, command.queue.index
            if command.operation == QueueOperation.ADDRESS:
                assert queue not in self.live
                self._areas.setdefault(queue, {})[RingArea(command.area)] = command.address
            elif command.operation == QueueOperation.ENABLE:
                assert queue not in self.live
                self.live[queue] = command, self._areas.pop(queue)
                assert set(self.live[queue][1]) == set(RingArea)
            else:
                assert queue in self.live, f"{queue} is not live"
                self.disabled.append(queue)
                if self.delay is None:
                    self._released.clear()
                    await self._released.wait()
                else:
                    await ClockCycles(self.clk, self.delay + 1)
                assert not self.commands.waiting, "a command before the acknowledgement"
                del self.live[queue]
                self.done.put({"function": queue[0], "index": queue[1]})

    async def _listen(self):
        while True:
            note = await self.sink.recv()
            queue = note.queue.function, note.queue.index
            self.rung.setdefault(queue, []).append(note.index if note.has_index else None)


class Room:
    """The device under test and all that stands round it."""

    def __init__(self, dut, stalled: bool = False):
        pauses = (lambda name: stalls(rng(name), 0.3)) if stalled else lambda name: None
        self.dut = dut
        self.memory = HostMemory(rng=rng("memory"))
        self.ports = HostPorts(dut, self.memory)
        self.ports.serve_write("interrupts", command_stalls=pauses("interrupts"))
        self.engine = Engine(dut, stalled=stalled)
        self.master = FunctionMaster(dut, stalls=pauses("requests"), reply_stalls=pauses("replies"))
        self.control = ControlBus(dut, "csr", BENCH.component.csr.memory_map)
        self.buses = [
            DirectBus(self.master, n, KIND.function(), self.memory, self.ports.interrupts)
            for n in range(FUNCTIONS)
        ]

    async def device(self, function: int = 0) -> PciTransport:
        """A function, found and reset."""
        transport = PciTransport(self.buses[function])
        assert await transport.discover() == 1
        await transport.reset()
        return transport

    async def running(self, function: int = 0, queues: int = 2, **negotiation) -> PciTransport:
        """A function whose driver is ready, with the first ``queues`` enabled."""
        transport = await self.device(function)
        await transport.negotiate(**negotiation)
        for index in range(queues):
            await transport.enable_queue(index, 64, areas(function, index), index + 1)
        await transport.map_config_vector(0)
        await transport.ready()
        await self.settle()
        return transport

    async def settle(self, cycles: int = 400):
        """Let everything that was set off come to its end."""
        await self.master.idle()
        await ClockCycles(self.dut.clk, cycles)

    async def configure(self, function: int, word: int, value: int):
        """Write a word of a configuration structure, as the card's CPU does."""
        await self.control.write("select", function=function, word=word)
        await self.control.write("value", value)


def areas(function: int, index: int) -> tuple[int, int, int]:
    """Three addresses that tell queues apart."""
    base = 0x1234_5678_0000_0000 | function << 24 | index << 16
    return base | 0x10, base | 0x4002, base | 0x8004


async def begin(dut, **how) -> Room:
    """Reset the device under test and put a room round it."""
    await BENCH.start(dut)
    room = Room(dut, **how)
    await ClockCycles(dut.clk, 300)
    return room


@cocotb.test()
async def test_discovery(dut):
    """Capabilities, identification, queues and features are those of a network device."""
    room = await begin(dut)
    for function in range(FUNCTIONS):
        device = await room.device(function)
        assert await device.read(Register.NUM_QUEUES) == 2 * PAIRS + 1
        assert [await device.queue_size(n) for n in range(6)] == [SIZE] * 5 + [0]
        assert await device.offered() == sum(1 << bit for bit in (*Feature, *Net)) & ~sum(
            1 << bit
            for bit in (
                Feature.RING_PACKED,
                Feature.IN_ORDER,
                Feature.ORDER_PLATFORM,
                Feature.NOTIF_CONFIG_DATA,
            )
        )


@cocotb.test()
async def test_start(dut):
    """Queues go live with DRIVER_OK and not before, as the driver has set them up."""
    room = await begin(dut)
    device = await room.device(1)
    await device.negotiate(without={Feature.INDIRECT_DESC})
    for index in (0, 1, 4):
        await device.enable_queue(index, 128 >> index, areas(1, index), index + 1)
    await room.settle()
    assert not room.engine.live and not room.engine.rung
    await device.ready()
    await room.settle()
    assert set(room.engine.live) == {(1, 0), (1, 1), (1, 4)}
    for (function, index), (command, places) in room.engine.live.items():
        assert tuple(places[area] for area in RingArea) == areas(function, index)
        assert command.size == 128 >> index
        assert command.interrupt and command.vector == index + 1
        assert command.pulled == (index == 0)
        assert command.event_idx and not command.indirect
    assert room.engine.rung == {queue: [None] for queue in room.engine.live}
    assert int(dut.ready.value) == 0b010
    # A queue that is enabled later, without a vector, goes live at once.
    await device.enable_queue(3, 256, areas(1, 3))
    await room.settle()
    assert not room.engine.live[1, 3][0].interrupt
