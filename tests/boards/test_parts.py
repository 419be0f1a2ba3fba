"""What joins the card to its pins does what the other end of the wire expects."""

import pytest
from amaranth.sim import Simulator

from boards.parts import Mdio, Pll, UartBridge
from tests.support.csr import read, write

DIVISOR = 8


class Line:
    """The far end of the serial line."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def send(self, data):
        for byte in data:
            for bit in (0, *(byte >> n & 1 for n in range(8)), 1):
                self.ctx.set(self.dut.rx, bit)
                await self.ctx.tick().repeat(DIVISOR)

    async def receive(self, count, cycles=2000):
        """Bytes, or as many as come within the time."""
        got = b""
        for _ in range(count):
            for _ in range(cycles):
                if not self.ctx.get(self.dut.tx):
                    break
                await self.ctx.tick()
            else:
                return got
            await self.ctx.tick().repeat(DIVISOR // 2)
            byte = 0
            for n in range(8):
                await self.ctx.tick().repeat(DIVISOR)
                byte |= self.ctx.get(self.dut.tx) << n
            await self.ctx.tick().repeat(DIVISOR)
            assert self.ctx.get(self.dut.tx), "a stop bit is missing"
            got += bytes([byte])
        return got


def on_the_line(testbench, patience=1 << 12):
    """Run a test against the bridge with sixteen words of memory behind it."""
    dut = UartBridge(addr_width=20, divisor=DIVISOR, patience=patience)
    words = {}
    on_the_way = [0] * (dut.bus.latency - 1)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def registers(ctx):
        async for _, _, write_now, read_now, addr, data in ctx.tick().sample(
            dut.bus.w_stb, dut.bus.r_stb, dut.bus.addr, dut.bus.w_data
        ):
            if write_now:
                words[addr] = data
            on_the_way.append(words.get(addr, 0) if read_now else 0)
            ctx.set(dut.bus.r_data, on_the_way.pop(0))

    async def main(ctx):
        await testbench(Line(ctx, dut), words)

    sim.add_process(registers)
    sim.add_testbench(main)
    sim.run()


def test_uart_reads_and_writes():
    async def testbench(line, words):
        await line.send(b"W" + bytes([0x34, 0x12, 0x0A]) + (0xC0FFEE42).to_bytes(4, "little"))
        assert await line.receive(1) == b"W"
        assert words == {0xA1234: 0xC0FFEE42}
        await line.send(b"R" + bytes([0x34, 0x12, 0x0A]))
        assert await line.receive(4) == (0xC0FFEE42).to_bytes(4, "little")

    on_the_line(testbench)


def test_uart_recovers():
    """What makes no sense is answered so; half a request is forgotten."""

    async def testbench(line, words):
        await line.send(b"X")
        assert await line.receive(1) == b"?"
        await line.send(b"W\1\2")
        assert await line.receive(1) == b""
        await line.ctx.tick().repeat(1 << 12)
        words[5] = 77
        await line.send(b"R\5\0\0")
        assert await line.receive(4) == (77).to_bytes(4, "little")

    on_the_line(testbench)


@pytest.mark.parametrize("width, divisor", [(25, 8), (20, 3)])
def test_uart_limits(width, divisor):
    with pytest.raises(ValueError, match=r"The address has up to 24|A bit takes 4 cycles"):
        UartBridge(addr_width=width, divisor=divisor)


async def phy(ctx, dut, registers, address):
    """A PHY after IEEE 802.3, 22.2.4: takes bits with MDC's rising edge, gives them behind it."""
    ones, frame, driven = 0, None, []
    last = ctx.get(dut.mdc)
    while True:
        await ctx.tick()
        mdc = ctx.get(dut.mdc)
        rose, last = mdc and not last, mdc
        if not rose:
            continue
        bit = ctx.get(dut.mdio_o) if ctx.get(dut.mdio_oe) else 1
        if driven:
            assert not ctx.get(dut.mdio_oe), "both drive the line"
            ctx.set(dut.mdio_i, driven.pop(0))
            continue
        ctx.set(dut.mdio_i, 1)
        if frame is None:
            if bit:
                ones += 1
            elif ones >= 32:
                frame = "0"
            else:
                ones = 0
            continue
        frame += str(bit)
        if len(frame) == 14:
            assert frame[:2] == "01"
            target, register = int(frame[4:9], 2), int(frame[9:14], 2)
            if frame[2:4] == "10":
                if target == address:
                    value = registers[register]
                    driven = [0, *(value >> n & 1 for n in range(15, -1, -1)), 1]
                frame, ones = None, 0
        elif len(frame) == 32:
            assert frame[2:4] == "01" and frame[14:16] == "10"
            if target == address:
                registers[register] = int(frame[16:], 2)
            frame, ones = None, 0


def test_mdio():
    dut = Mdio(divisor=4, address=3)
    registers = {n: 0x1111 * n & ~4 for n in range(32)}

    async def frames(ctx, count=1):
        await ctx.tick().repeat(count * 8 * 66)

    async def command(ctx, register, data=0, *, writes=0):
        word = data | register << 16 | 3 << 21 | writes << 26
        await write(ctx, dut.csr, 0, word)
        for _ in range(4 * 8 * 66):
            answer = await read(ctx, dut.csr, 1)
            if not answer >> 16 & 1:
                return answer & 0xFFFF
        raise AssertionError("busy for ever")

    async def testbench(ctx):
        await frames(ctx, 3)
        assert not ctx.get(dut.link)
        registers[1] |= 4
        await frames(ctx, 3)
        assert ctx.get(dut.link)
        assert await command(ctx, 7) == registers[7]
        await command(ctx, 4, 0xBEEF, writes=1)
        assert registers[4] == 0xBEEF
        assert await command(ctx, 4) == 0xBEEF
        assert ctx.get(dut.link)
        registers[1] &= ~4
        await frames(ctx, 3)
        assert not ctx.get(dut.link)

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)

    async def other_end(ctx):
        await phy(ctx, dut, registers, 3)

    sim.add_testbench(other_end, background=True)
    sim.run()


def test_pll():
    pll = Pll.find(100, (125, 62.5))
    oscillator = 100 / pll.reference * pll.feedback * pll.outputs[0]
    assert 400 <= oscillator <= 800
    assert [oscillator / divider for divider in pll.outputs] == [125, 62.5]


@pytest.mark.parametrize(
    "outputs, message",
    [((125, 101.7), "No dividers make 125, 101.7 MHz from 100 MHz"), ((), "1 to 4 outputs, not 0")],
)
def test_pll_limits(outputs, message):
    with pytest.raises(ValueError, match=message):
        Pll.find(100, outputs)
