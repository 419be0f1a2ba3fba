"""Control commands that go to the firmware, and the receive filter, under drivers.

The drivers are written from the specification; the test stands in for the firmware, at the mailbox
and at the filter's registers.
"""

from collections import deque

import cocotb
from amaranth.lib import data
from cocotb.triggers import ClockCycles, Event, RisingEdge, with_timeout

from niter.interface import MessageBeat, MessageHeader
from niter.virtio.net import VirtioNet
from niter.virtio.net.filter import Modes
from sim.harness import Bench, rng
from sim.models.streams import StreamSink, StreamSource
from sim.models.virtio.specification import Control, Net
from sim.virtio.host import Host, random_frame

BENCH = Bench(
    dut=lambda: VirtioNet(functions=2, pairs=2, queue_size=64, services=True),
    clock_ns=16,
    fuzz=True,
)
SERVED = {Net.CTRL_RX, Net.CTRL_VLAN, Net.CTRL_RX_EXTRA, Net.GUEST_ANNOUNCE, Net.CTRL_MAC_ADDR}
BROADCAST = b"\xff" * 6
_PATIENCE_US = 400


class Firmware:
    """The mailbox's other side: messages, and replies out of the test's hands."""

    def __init__(self, dut):
        self.dut = dut
        self._messages: deque[tuple[data.Const, bytes]] = deque()
        self._came = Event()
        self.forgotten = [0, 0]
        self.sink = StreamSink(dut, "mailbox__request", MessageBeat)
        self.source = StreamSource(dut, "mailbox__reply", MessageBeat)
        dut.mailbox__credit.value = 0xFF
        cocotb.start_soon(self._collect())
        cocotb.start_soon(self._forget())

    async def _collect(self):
        content = b""
        while True:
            beat = await self.sink.recv()
            content += int(beat.packet.data).to_bytes(8, "little")[: 8 - beat.packet.empty]
            if beat.packet.last:
                assert len(content) == beat.header.length
                self._messages.append((beat.header, content))
                self._came.set()
                content = b""

    async def _forget(self):
        """Reset as the mailbox does it."""
        done = 0
        while True:
            await RisingEdge(self.dut.clk)
            asked = int(self.dut.mailbox__reset.value)
            for function in range(2):
                if asked & ~done & 1 << function:
                    self.forgotten[function] += 1
                    left = [each for each in self._messages if each[0].function != function]
                    self._messages = deque(left)
            done = asked
            self.dut.mailbox__reset_done.value = done

    async def take(self) -> tuple[data.Const, bytes]:
        while not self._messages:
            self._came.clear()
            await with_timeout(self._came.wait(), _PATIENCE_US, "us")
        return self._messages.popleft()

    def reply(self, header: data.Const, status: int) -> None:
        beat = {
            "packet": {"data": status, "empty": 7, "last": 1},
            "header": {name: getattr(header, name) for name in MessageHeader.as_shape().members},
        }
        self.source.put(beat)


async def begin(dut, **how) -> tuple[Host, Firmware]:
    await BENCH.start(dut)
    host, firmware = Host(BENCH, dut, **how), Firmware(dut)
    await ClockCycles(dut.clk, 300)
    return host, firmware


async def soon(what):
    return await with_timeout(what, _PATIENCE_US, "us")


@cocotb.test()
async def test_what_is_offered(dut):
    host, _ = await begin(dut)
    driver = host.drivers[0]
    await host.start(driver, size=16, pairs=2)
    assert set(driver.transport.features) >= SERVED | {Net.CTRL_VQ, Net.MQ}


@cocotb.test()
async def test_commands(dut):
    """Any commands of two drivers, answered in any order; pairs are set without the firmware."""
    host, firmware = await begin(dut, stalled=True)
    random = rng("commands")
    for driver in host.drivers:
        await host.start(driver, size=32, pairs=2)

    async def drive(function):
        driver = host.drivers[function]
        for number in range(12):
            if random.random() < 0.2:
                assert await driver.set_pairs(random.randint(1, 2)) == Control.OK
                continue
            kind = random.choice((0, 1, 2, 3, 7))
            content = bytes([number]) + random.randbytes(random.choice((0, 2, 6, 30, 61, 62, 90)))
            cut = [random.randint(1, 20) for _ in range(random.randrange(6))]
            answer = await driver.command(kind, function, content, cut=cut)
            assert answer == number % 2, f"command {number} of function {function}"

    tasks = [cocotb.start_soon(drive(function)) for function in range(2)]
    held = []
    while not all(task.done() for task in tasks):
        await ClockCycles(dut.clk, 200)
        while firmware._messages:
            held.append(await firmware.take())
        if held:
            header, content = held.pop(random.randrange(len(held)))
            assert content[1] == header.function
            firmware.reply(header, content[2] % 2)
    for task in tasks:
        await task
    host.memory.check()


@cocotb.test()
async def test_frames_flow_while_a_command_waits(dut):
    """Also the function's own, and while it has more commands in its ring."""
    host, firmware = await begin(dut)
    random = rng("frames")
    for driver in host.drivers:
        await host.start(driver, size=32, pairs=1)
    first = host.drivers[0]
    answers = []
    for number in range(5):
        request = host.memory.allocate(3, align=1, name="request")
        request.write(0, bytes([0, number, 1]))
        answer = host.memory.allocate(1, align=1, name="answer")
        answer.write(0, b"\xee")
        first.control.add([request], [answer])
        answers.append(answer)
    await first.control.kick()
    header, content = await firmware.take()
    for number in range(20):
        function = number % 2
        frame = random_frame(random)
        await host.drivers[function].send(frame)
        out = await soon(host.tx.recv())
        assert out.data == frame and out.meta.function == function
        host.deliver(frame, function)
        assert (await soon(host.drivers[function].recv())).data == frame
    assert await host.drivers[1].set_pairs(1) == Control.OK
    assert not firmware._messages, "more than one command of a function is under way"
    for number in range(5):
        assert content == bytes([0, number, 1])
        assert all(each.read() == b"\xee" for each in answers[number:])
        firmware.reply(header, number % 2)
        if number < 4:
            header, content = await firmware.take()
    while len(first.control.outstanding):
        await soon(first.control.wait_used())
    assert [each.read()[0] for each in answers] == [0, 1, 0, 1, 0]
    host.memory.check()


@cocotb.test()
async def test_resets_while_a_command_waits(dut):
    """Of device and function: they come to their end at once, and late replies change nothing."""
    host, firmware = await begin(dut)
    driver = host.drivers[1]
    await host.start(host.drivers[0], size=16, pairs=1)
    for number, reset in enumerate((driver.stop, driver.function_reset, driver.stop)):
        await host.start(driver, size=16, pairs=2)
        waiting = cocotb.start_soon(driver.command(0, 0, b"\x01"))
        late, _ = await firmware.take()
        waiting.cancel()
        await soon(reset())
        assert firmware.forgotten == [0, number + 1]
        await host.start(driver, size=16, pairs=2)
        firmware.reply(late, 0)
        again = cocotb.start_soon(driver.command(0, 1, b"\x00"))
        header, content = await firmware.take()
        assert content == b"\x00\x01\x00"
        await ClockCycles(dut.clk, 300)
        assert not again.done()
        firmware.reply(header, 1)
        assert await soon(again) == 1
        await soon(driver.stop())
        firmware.forgotten[1] -= 1
        frame = random_frame(rng("frame", number))
        host.deliver(frame, 0)
        assert (await soon(host.drivers[0].recv())).data == frame
    host.memory.check()


@cocotb.test()
async def test_frames_that_are_not_wanted(dut):
    """They leave nothing behind; a reset lets everything pass."""
    host, _ = await begin(dut)
    random = rng("filter")
    for driver in host.drivers:
        await host.start(driver, size=32, pairs=1)
    modes = 1 << list(Modes.as_shape().members).index("no_broadcast")
    await host.control.write("filter.mode", modes=modes, function=1)
    await host.counted()

    async def pass_frames(broadcasts):
        expected = [[], []]
        for _ in range(30):
            function = random.randrange(2)
            to = random.choice((BROADCAST, b"\x02\0\0\0\0\1"))
            frame = to + random.randbytes(random.randint(54, 300))
            host.deliver(frame, function)
            if to != BROADCAST or function in broadcasts:
                expected[function].append(frame)
        for function, frames in enumerate(expected):
            for frame in frames:
                assert (await soon(host.drivers[function].recv())).data == frame
        await host.settle()
        assert not any(driver.arrived() for driver in host.drivers)
        counted = await host.counted()
        for function, frames in enumerate(expected):
            assert counted[f"function{function}_rx_frames"] == len(frames)
        assert not [name for name in counted if name.endswith(("dropped", "failed"))]

    await pass_frames({0})
    await host.drivers[1].stop()
    await host.start(host.drivers[1], size=32, pairs=1)
    await host.counted()
    await pass_frames({0, 1})
