"""The virtio transport: registers, life cycle, doorbells, by a driver model."""

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time

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
from sim.models.virtio.net import NetConfiguration, NetDriver
from sim.models.virtio.specification import NO_VECTOR, Feature, Net, Register, Status
from sim.models.virtio.transport import FeaturesRefused, PciTransport

FUNCTIONS, PAIRS, SIZE = 3, 2, 256
KIND = net_device(PAIRS, SIZE, services=True)


class Configured(wiring.Component):
    """A transport with the configuration structures of network devices behind it."""

    def __init__(self):
        self._transport = Transport(KIND, FUNCTIONS)
        self._config = NetConfig()
        members = dict(self._transport.signature.members)
        del members["config"]
        super().__init__({**members, "csr": self._config.signature.members["csr"]})
        self.csr.memory_map = self._config.csr.memory_map

    def elaborate(self, platform):
        m = Module()
        m.submodules.transport = transport = self._transport
        m.submodules.config = self._config
        connect(m, self._config.config, transport.config)
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


BENCH = Bench(dut=Configured, tier="fast", clock_ns=16, fuzz=True)


class Engine:
    """A stand-in for the queue engine: keeps the books of commands and notifications.

    Asserts the contract of ``QueueCommand``: three addresses, then ENABLE, of a queue that
    is not live, and nothing while a DISABLE is not acknowledged. A DISABLE of a queue that is
    not live is in order: after a reset of the card the state memory still knows old ones.
    """

    def __init__(self, dut, *, stalled: bool = False):
        pauses = (lambda name: stalls(rng(name), 0.4)) if stalled else lambda name: None
        self.clk, self.ready = dut.clk, dut.ready
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
                self.disabled.append(queue)
                if self.delay is None:
                    self._released.clear()
                    await self._released.wait()
                else:
                    await ClockCycles(self.clk, self.delay + 1)
                assert not self.commands.waiting, "a command before the acknowledgement"
                self.live.pop(queue, None)
                self.done.put({"function": queue[0], "index": queue[1]})

    async def _listen(self):
        while True:
            note = await self.sink.recv()
            queue = note.queue.function, note.queue.index
            # Before ENABLE a doorbell may come, since it overtakes it; after a reset it may not.
            ready = int(self.ready.value) >> queue[0] & 1
            assert ready or queue in self.live, f"a doorbell of {queue} after its reset"
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
        self.control = ControlBus(dut, "csr", BENCH.component.csr)
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
    await ClockCycles(dut.clk, 1000)
    room.engine.disabled.clear()
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


@cocotb.test()
async def test_registers(dut):
    """Every field of the common structure holds what it should, and only that."""
    room = await begin(dut)
    device = await room.device(2)
    other = await room.device(0)
    write, read = device.write, device.read

    for register in (Register.DEVICE_FEATURE_SELECT, Register.DRIVER_FEATURE_SELECT):
        await write(register, 0xDEAD_BEEF)
        assert await read(register) == 0xDEAD_BEEF
    assert await read(Register.DEVICE_FEATURE) == await read(Register.DRIVER_FEATURE) == 0
    await write(Register.DRIVER_FEATURE, 0xFFFF_FFFF)
    await device.accept(0x89AB_CDEF_0123_4567)
    assert await read(Register.DRIVER_FEATURE) == 0x89AB_CDEF
    await write(Register.DRIVER_FEATURE_SELECT, 0)
    assert await read(Register.DRIVER_FEATURE) == 0x0123_4567

    for register in (Register.CONFIG_VECTOR, Register.QUEUE_VECTOR):
        assert await read(register) == NO_VECTOR
        for vector in (0, KIND.vectors - 1):
            await write(register, vector)
            assert await read(register) == vector
        for vector in (KIND.vectors, 0x7FF, 0x100, NO_VECTOR):
            await write(register, vector)
            assert await read(register) == NO_VECTOR

    for index in (3, 5, 14, 15, 0x103, 0xFFFF):
        await write(Register.QUEUE_SELECT, index)
        assert await read(Register.QUEUE_SELECT) == index
        exists = index < KIND.queues
        await write(Register.QUEUE_SIZE, 32)
        assert await read(Register.QUEUE_SIZE) == (32 if exists else 0)
        assert await read(Register.QUEUE_NOTIFY_OFF) == (index if exists else 0)
        for register in (Register.QUEUE_DESC, Register.QUEUE_DRIVER, Register.QUEUE_DEVICE):
            await device.write64(register, 0x1122_3344_5566_7788 + register)
        for register in (Register.QUEUE_DESC, Register.QUEUE_DRIVER, Register.QUEUE_DEVICE):
            expected = 0x1122_3344_5566_7788 + register if exists else 0
            assert await read(register, 8) == expected
            assert await read(register, 4) == expected & 0xFFFF_FFFF

    await write(Register.QUEUE_SELECT, 3)
    for size in (0, 3, 33, 512, 0x8000):
        await write(Register.QUEUE_SIZE, size)
        assert await read(Register.QUEUE_SIZE) == 32
    for log in range(9):
        await write(Register.QUEUE_SIZE, 1 << log)
        assert await read(Register.QUEUE_SIZE) == 1 << log

    # Fields that a driver must not write, and fields that do not exist.
    for register in (Register.DEVICE_FEATURE, Register.NUM_QUEUES, Register.QUEUE_NOTIFY_OFF):
        before = await read(register)
        await write(register, ~before & 0xFFFF)
        assert await read(register) == before
    await write(Register.QUEUE_NOTIF_CONFIG_DATA, 0xFFFF)
    assert await read(Register.QUEUE_NOTIF_CONFIG_DATA) == 0
    assert await device.bus.read(0, 0x3C, 4) == 0
    # A function's registers are its own.
    await other.write(Register.QUEUE_SELECT, 3)
    assert await other.read(Register.QUEUE_SIZE) == SIZE
    assert await other.read(Register.QUEUE_DESC, 8) == 0


@cocotb.test()
async def test_widths(dut):
    """Accesses of 1, 2, 4 and 8 bytes see the same bytes; nothing stands outside structures."""
    room = await begin(dut)
    device = await room.device()
    await device.write(Register.QUEUE_SELECT, 1)
    await device.write64(Register.QUEUE_DESC, 0x0102_0304_0506_0708)
    await device.write(Register.CONFIG_VECTOR, 2)
    bus = device.bus
    for start in range(0, 64, 8):
        whole = (await bus.read(0, start, 8)).to_bytes(8, "little")
        for size in (1, 2, 4):
            for at in range(0, 8, size):
                part = await bus.read(0, start + at, size)
                assert part.to_bytes(size, "little") == whole[at : at + size]
    # A 64-bit write is two of 32 bits.
    await bus.write(0, Register.QUEUE_DRIVER, 0x1111_2222_3333_4444, 8)
    assert await bus.read(0, Register.QUEUE_DRIVER + 4, 4) == 0x1111_2222
    # Half of a 16-bit field cannot be written, a byte of a 32-bit field can.
    await bus.write(0, Register.QUEUE_SIZE, 1, 1)
    assert await device.read(Register.QUEUE_SIZE) == SIZE
    await bus.write(0, Register.QUEUE_DESC + 2, 0xAA, 1)
    assert await device.read(Register.QUEUE_DESC) == 0x05AA_0708

    before = await bus.read(0, 0, 8)
    for offset in (0x40, 0x80, 0x800, 0x1004, 0x1008, 0x2040, 0x2FF8, 0x3000, 0x3040, 0x3FFC):
        await bus.write(0, offset, 0xFFFF_FFFF, 4)
        assert await bus.read(0, offset, 4) == 0
    await bus.write(2, 0, 0xFFFF_FFFF, 4)
    assert await bus.read(2, 0, 4) == 0
    assert await bus.read(0, 0, 8) == before
    assert await device.isr() == 0


async def acknowledged(room: Room, function: int = 0) -> PciTransport:
    """A function before feature negotiation."""
    device = await room.device(function)
    await device.add_status(Status.ACKNOWLEDGE)
    await device.add_status(Status.DRIVER)
    return device


@cocotb.test()
async def test_negotiation(dut):
    """FEATURES_OK stays only for a subset that holds together; then it is fixed."""
    room = await begin(dut)
    version = 1 << Feature.VERSION_1
    ready = Status.ACKNOWLEDGE | Status.DRIVER
    for features in (
        0,
        0xFFFF_FFFF & ~(1 << Net.MQ),
        version | 1 << Net.MQ,
        version | 1 << 2,
        version | 1 << 31,
        version | 1 << Feature.RING_PACKED,
        version | 1 << 62,
        (1 << 64) - 1,
    ):
        device = await acknowledged(room)
        await device.accept(features)
        await device.add_status(Status.FEATURES_OK)
        assert await device.status() == ready, f"{features:#x} was accepted"
        await device.add_status(Status.DRIVER_OK)
        assert await device.status() == ready
        # A set that is mended is accepted without another reset.
        await device.accept(version)
        await device.add_status(Status.FEATURES_OK)
        assert await device.status() == ready | Status.FEATURES_OK
        await device.reset()
    for features in (version, version | 1 << Net.CTRL_VQ, version | 1 << Net.MQ | 1 << Net.CTRL_VQ):
        device = await acknowledged(room)
        await device.accept(features)
        await device.add_status(Status.FEATURES_OK)
        assert await device.status() & Status.FEATURES_OK
        assert int(dut.features.value) & (1 << 64) - 1 == features
        await device.accept(0)
        await device.write(Register.DRIVER_FEATURE_SELECT, 1)
        assert await device.read(Register.DRIVER_FEATURE) == features >> 32
    try:
        await device.negotiate(without={Net.CTRL_VQ})
    except FeaturesRefused:
        pass
    else:
        raise AssertionError("MQ without CTRL_VQ was accepted")


@cocotb.test()
async def test_status(dut):
    """Bits of device_status are set one by one, and cleared by reset alone."""
    room = await begin(dut)
    device = await room.device()
    await device.write(Register.DEVICE_STATUS, Status.NEEDS_RESET | 0x30)
    assert await device.status() == 0
    await device.write(Register.DEVICE_STATUS, Status.DRIVER_OK)
    assert await device.status() == 0
    await device.negotiate()
    await device.write(Register.DEVICE_STATUS, Status.ACKNOWLEDGE)
    full = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK
    assert await device.status() == full
    await device.write(Register.DEVICE_STATUS, Status.FAILED)
    assert await device.status() == full | Status.FAILED
    await device.reset()
    # All at once, as a driver in a hurry may do.
    await device.accept(1 << Feature.VERSION_1)
    await device.write(Register.DEVICE_STATUS, full | Status.DRIVER_OK)
    assert await device.status() == full | Status.DRIVER_OK
    assert int(dut.ready.value) == 1


@cocotb.test()
async def test_locked(dut):
    """A queue that is enabled cannot be changed; zero does not disable it."""
    room = await begin(dut)
    device = await room.device()
    await device.write(Register.QUEUE_SELECT, 0)
    await device.write(Register.QUEUE_ENABLE, 1)
    assert await device.read(Register.QUEUE_ENABLE) == 0, "enabled before FEATURES_OK"
    device = await room.running(0, queues=1)
    await device.write(Register.QUEUE_SELECT, 0)
    await device.write(Register.QUEUE_SIZE, 16)
    await device.write(Register.QUEUE_VECTOR, 3)
    await device.write64(Register.QUEUE_DEVICE, 0)
    await device.write(Register.QUEUE_ENABLE, 0)
    assert await device.read(Register.QUEUE_SIZE) == 64
    assert await device.read(Register.QUEUE_VECTOR) == 1
    assert await device.read(Register.QUEUE_DEVICE, 8) == areas(0, 0)[2]
    assert await device.read(Register.QUEUE_ENABLE) == 1


@cocotb.test()
async def test_reset(dut):
    """device_status reads zero only when the engine has let go; then all is as at first."""
    room = await begin(dut)
    pristine = await room.device(1)
    await pristine.write(Register.QUEUE_SELECT, 1)
    fresh = [await pristine.bus.read(0, offset, 8) for offset in range(0, 64, 8)]
    device = await room.running(1, queues=3)
    await room.running(0)
    features = int(dut.features.value)
    room.engine.delay = None
    await device.write(Register.DEVICE_STATUS, 0)
    for queue in range(3):
        await room.settle()
        assert await device.status() != 0
        assert room.engine.disabled == [(1, n) for n in range(queue + 1)]
        # Writing now changes nothing, and others go on.
        await device.write(Register.QUEUE_SELECT, 7)
        await device.write(Register.DEVICE_STATUS, Status.DRIVER_OK | Status.FEATURES_OK)
        assert int(dut.features.value) == features
        await device.write(Register.DEVICE_STATUS, 0)
        await room.buses[0].write(0, 0x3004, 1, 2)
        room.engine.release()
    await room.settle()
    assert await device.status() == 0
    await device.write(Register.QUEUE_SELECT, 1)
    now = [await device.bus.read(0, offset, 8) for offset in range(0, 64, 8)]
    # Only config_generation may have gone on.
    assert [n & ~(0xFF << 40) if at == 2 else n for at, n in enumerate(now)] == [
        n & ~(0xFF << 40) if at == 2 else n for at, n in enumerate(fresh)
    ]
    assert set(room.engine.live) == {(0, 0), (0, 1)}
    assert len(room.engine.rung[0, 1]) == 4
    room.engine.delay = 5
    await room.running(1, queues=5)
    assert len(room.engine.live) == 7


@cocotb.test()
async def test_queue_reset(dut):
    """A queue is reset alone, and can be enabled again with other parameters."""
    room = await begin(dut)
    device = await room.running(0, queues=4)
    room.engine.delay = None
    await device.write(Register.QUEUE_SELECT, 2)
    await device.write(Register.QUEUE_RESET, 1)
    await room.settle()
    assert await device.read(Register.QUEUE_RESET) == 1
    assert await device.read(Register.QUEUE_ENABLE) == 1
    await device.write(Register.QUEUE_SELECT, 3)
    assert await device.read(Register.QUEUE_RESET) == 0
    room.engine.release()
    await room.settle()
    await device.write(Register.QUEUE_SELECT, 2)
    assert await device.read(Register.QUEUE_RESET) == await device.read(Register.QUEUE_ENABLE) == 0
    assert await device.read(Register.QUEUE_SIZE) == SIZE
    assert await device.read(Register.QUEUE_VECTOR) == NO_VECTOR
    assert await device.read(Register.QUEUE_DESC, 8) == 0
    assert set(room.engine.live) == {(0, 0), (0, 1), (0, 3)}
    room.engine.delay = 20
    await device.enable_queue(2, 8, areas(5, 5), 4)
    await room.settle()
    command, places = room.engine.live[0, 2]
    assert command.size == 8 and command.vector == 4
    assert places[RingArea.DRIVER] == areas(5, 5)[1]
    # Several at once; one that is not enabled, and one without the feature, do nothing.
    for index in (0, 1, 3):
        await device.write(Register.QUEUE_SELECT, index)
        await device.write(Register.QUEUE_RESET, 1)
    await device.reset_queue(0)
    await device.reset_queue(3)
    await device.reset_queue(1)
    assert set(room.engine.live) == {(0, 2)}
    await device.reset_queue(1)
    other = await room.running(1, without={Feature.RING_RESET})
    await other.write(Register.QUEUE_SELECT, 0)
    await other.write(Register.QUEUE_RESET, 1)
    await room.settle()
    assert await other.read(Register.QUEUE_RESET) == 0
    assert (1, 0) in room.engine.live


@cocotb.test()
async def test_function_reset(dut):
    """FLR in the middle of life: acknowledged when the engine has let go, and all is as new."""
    room = await begin(dut)
    device = await room.running(1, queues=3)
    await room.running(2)
    room.engine.delay = None
    reset = cocotb.start_soon(device.bus.function_reset())
    for _ in range(3):
        await room.settle()
        assert not reset.done()
        assert int(dut.ready.value) == 0b100
        room.engine.release()
    await reset
    assert set(room.engine.live) == {(2, 0), (2, 1)}
    assert await device.status() == 0
    await device.write(Register.QUEUE_SELECT, 0)
    assert await device.read(Register.QUEUE_DESC, 8) == 0
    # At any moment: in a reset by the driver, and of a function that does nothing.
    room.engine.delay = 30
    device = await room.running(1, queues=5)
    await device.write(Register.DEVICE_STATUS, 0)
    await Timer(rng("moment").randrange(1, 2000), "ns")
    await device.bus.function_reset()
    await device.bus.function_reset()
    assert set(room.engine.live) == {(2, 0), (2, 1)}
    await room.running(1, queues=5)
    # All of them at once, with those that are not built.
    dut.function__reset.value = 0xFF
    await room.settle(2000)
    assert int(dut.function__reset_done.value) == 0xFF
    assert not room.engine.live
    dut.function__reset.value = 0
    await ClockCycles(dut.clk, 3)
    assert int(dut.function__reset_done.value) == 0


@cocotb.test()
async def test_fault(dut):
    """A fault shows in that function's device_status alone, and tells its driver."""
    room = await begin(dut)
    devices = [await room.running(function) for function in range(FUNCTIONS)]
    room.engine.faults.put({"function": 1})
    await room.settle()
    status = [await device.status() for device in devices]
    assert [bool(bits & Status.NEEDS_RESET) for bits in status] == [False, True, False]
    assert status[1] & Status.DRIVER_OK
    assert [bus.interrupts(0) for bus in room.buses] == [0, 1, 0]
    assert await devices[1].isr() == 2
    assert await devices[1].isr() == 0
    await devices[1].write(Register.DEVICE_STATUS, Status.ACKNOWLEDGE)
    assert await devices[1].status() & Status.NEEDS_RESET
    await devices[1].reset()
    # Of a function that is not running, it is void.
    room.engine.faults.put({"function": 1})
    await room.settle()
    assert await devices[1].status() == 0
    device = await room.running(1)
    assert not await device.status() & Status.NEEDS_RESET
    assert room.buses[1].interrupts(0) == 1
    # Without a vector there is no interrupt.
    await device.write(Register.CONFIG_VECTOR, NO_VECTOR)
    await room.settle()
    room.engine.faults.put({"function": 1})
    await room.settle()
    assert await device.status() & Status.NEEDS_RESET
    assert room.buses[1].interrupts(0) == 1
    assert await device.isr() == 2


@cocotb.test()
async def test_doorbells(dut):
    """Doorbells are taken whatever the engine does, become one per queue, and none is lost."""
    room = await begin(dut)
    devices = [await room.running(n, queues=5) for n in range(FUNCTIONS)]
    room.engine.rung.clear()
    room.engine.sink.pause()
    room.engine.delay = None
    await devices[2].write(Register.DEVICE_STATUS, 0)
    random = rng("doorbells")
    last: dict[tuple[int, int], int] = {}
    for _ in range(200):
        queue = random.randrange(2), random.randrange(5)
        last[queue] = random.randrange(1 << 16)
        await room.buses[queue[0]].write(0, 0x3000 + 4 * queue[1], queue[1] | last[queue] << 16, 4)
    start = get_sim_time("ns")
    await room.master.idle()
    elapsed = (get_sim_time("ns") - start) / 16
    assert elapsed < 200 * 12, f"200 doorbells took {elapsed} cycles"
    await room.settle()
    room.engine.sink.resume()
    await room.settle()
    for each, index in last.items():
        # The two that were handed on while the engine did not look, and the newest: with its
        # index if it is the one that came last of all.
        assert room.engine.rung[each][-1] in ((index,) if each == queue else (index, None))
        assert len(room.engine.rung[each]) <= 3
    assert set(room.engine.rung) == set(last)
    assert sum(map(len, room.engine.rung.values())) <= len(last) + 2


@cocotb.test()
async def test_doorbell_rules(dut):
    """A doorbell counts for a queue that exists, of a driver that is ready; indices on demand."""
    room = await begin(dut)
    device = await room.device(0)
    notify = 0x3000
    await device.bus.write(0, notify, 0, 2)
    await device.negotiate(without={Feature.NOTIFICATION_DATA})
    for index in range(5):
        await device.enable_queue(index, 64, areas(0, index))
    await device.bus.write(0, notify, 0, 2)
    await room.settle()
    assert not room.engine.rung
    await device.ready()
    await room.settle()
    room.engine.rung.clear()
    await device.bus.write(0, notify + 4, 1, 2)
    await room.settle()
    await device.bus.write(0, notify + 4, 0x7777_0001, 4)
    await device.bus.write(0, notify + 4 * KIND.queues, 5, 2)
    await device.bus.write(0, notify + 0x3C, 15, 2)
    await room.settle()
    assert room.engine.rung == {(0, 1): [None, None]}
    assert await device.bus.read(0, notify, 4) == 0
    # Doorbells that wait when their queue is disabled are forgotten: ``Engine`` sees to it.
    room.engine.rung.clear()
    room.engine.sink.pause()
    for index in range(5):
        await device.bus.write(0, notify + 4 * index, index, 2)
    await room.settle()
    await device.write(Register.DEVICE_STATUS, 0)
    await room.settle()
    assert await device.status() != 0
    room.engine.sink.resume()
    await room.settle()
    assert await device.status() == 0


@cocotb.test()
async def test_configuration(dut):
    """What control writes shows at once, moves config_generation, and raises an interrupt."""
    room = await begin(dut)
    await room.configure(1, 0, 0x4433_2211)
    await room.configure(1, 1, 0x0001_6655)
    await room.configure(1, 2, 9000 << 16 | 0xFFFF)
    await room.configure(1, 3, 10_000)
    driver = NetDriver(room.buses[1])
    await driver.transport.discover()
    config = await driver.read_config()
    assert config == NetConfiguration(
        bytes.fromhex("112233445566"), True, PAIRS, 9000, 10_000, 1
    ), config
    for function in (0, 2):
        other = NetDriver(room.buses[function])
        await other.transport.discover()
        assert await other.read_config() == NetConfiguration(bytes(6), False, PAIRS, 1500, 1000, 1)
    assert not room.ports.interrupts.counts

    device = await room.running(1)
    await room.running(0)
    before = await device.read(Register.CONFIG_GENERATION)
    assert await device.config(6, 2) == 1
    assert await device.read(Register.CONFIG_GENERATION) == before
    await room.configure(1, 1, 0x6655)
    await room.settle()
    assert [bus.interrupts(0) for bus in room.buses] == [0, 1, 0]
    assert await device.config(6, 2) == 0
    assert await device.read(Register.CONFIG_GENERATION) == before + 1 & 0xFF
    assert await device.isr() == 2
    # Whatever comes between two reads of a driver shows by the generation.
    for round_ in range(20):
        reading = cocotb.start_soon(
            device.stable_config({"low": (0, 4), "speed": (12, 4)}),
        )
        await Timer(rng("configure", round_).randrange(1, 600), "ns")
        await room.configure(1, 0, round_)
        await room.configure(1, 3, round_)
        values = await reading
        assert values["speed"] in (values["low"], values["low"] - 1) or not round_, values
    # What the driver writes goes nowhere.
    await device.bus.write(0, 0x2000, 0xFFFF_FFFF, 4)
    assert await device.config(0, 4) == 19
    # Bytes of the structure beyond what is used.
    assert await device.config(20, 4) == await device.config(60, 4) == 0


@cocotb.test()
async def test_all_at_once(dut):
    """Drivers come and go at random, with stalls everywhere; each finds its device in order."""
    room = await begin(dut, stalled=True)
    room.engine.delay = 40

    async def live(function: int):
        random = rng("driver", function)
        for _ in range(6):
            queues = random.randrange(1, KIND.queues + 1)
            features = random.choice((None, {Feature.RING_RESET}))
            device = await room.running(function, queues=queues, wanted=features)
            await room.settle(3000)
            mine = {queue for queue in room.engine.live if queue[0] == function}
            assert mine == {(function, n) for n in range(queues)}
            for _ in range(random.randrange(8)):
                index = random.randrange(queues)
                count = len(room.engine.rung.get((function, index), []))
                await device.bus.write(0, 0x3000 + 4 * index, index, 2)
                await room.settle(300)
                assert len(room.engine.rung[function, index]) > count
                if random.random() < 0.3:
                    await device.reset_queue(index)
                    assert (function, index) not in room.engine.live
                    await device.enable_queue(index, 1 << random.randrange(9), areas(9, 9))
            if random.random() < 0.5:
                await device.bus.function_reset()
            else:
                await device.reset()
            assert not [queue for queue in room.engine.live if queue[0] == function]

    for task in [cocotb.start_soon(live(function)) for function in range(FUNCTIONS)]:
        await task


@cocotb.test()
async def test_fuzz(dut):
    """Nonsense written all over a function's BAR hangs nothing, and does nothing to others."""
    room = await begin(dut, stalled=True)
    random = rng("fuzz")
    neighbour = await room.running(1, queues=3)
    before = {queue: entry for queue, entry in room.engine.live.items() if queue[0] == 1}
    bus = room.buses[0]
    pages = [0x0000] * 6 + [0x3000] * 2 + [0x1000, 0x2000]

    async def nonsense():
        for _ in range(300):
            size = random.choice((1, 2, 4, 8))
            offset = random.choice(pages) + random.randrange(0x48) // size * size
            if random.random() < 0.02:
                offset = random.randrange(0x4000) // size * size
            if random.random() < 0.3:
                await bus.read(random.choice((0, 0, 0, 2)), offset, size)
            else:
                # Small numbers and single bits mean something more often than others do.
                value = random.choice(
                    (random.randrange(16), 1 << random.randrange(8 * size), random.getrandbits(64))
                )
                await bus.write(0, offset, value & (1 << 8 * size) - 1, size)
            if random.random() < 0.02:
                room.engine.faults.put({"function": 0})

    for _ in range(4):
        task = cocotb.start_soon(nonsense())
        for _ in range(20):
            await neighbour.bus.write(0, 0x3004, 1, 2)
            assert await neighbour.read(Register.NUM_QUEUES) == KIND.queues
            assert await neighbour.status() == 0xF
        await task
        await room.settle(2000)
        assert before == {q: entry for q, entry in room.engine.live.items() if q[0] == 1}
        assert room.buses[1].interrupts(0) == 0
        rung = len(room.engine.rung[1, 1])
        await neighbour.bus.write(0, 0x3004, 1, 2)
        await room.settle(100)
        assert len(room.engine.rung[1, 1]) == rung + 1
        # And the function itself works after a reset.
        await room.running(0, queues=KIND.queues)
        await room.settle(2000)
        assert len([queue for queue in room.engine.live if queue[0] == 0]) == KIND.queues
        await (await room.device(0)).reset()
