import pytest
from amaranth.sim import Simulator

from niter.interface import MAX_MESSAGE_BYTES
from niter.soc import Mailbox
from niter.soc.mailbox.transfer import Operation, Result
from tests.support import csr

LIMIT = 500


class Card:
    """A mailbox with two engines, and both sides of it in a test's hands."""

    def __init__(self, functions=4, **how):
        self.dut = Mailbox(2, functions, **how)
        where = {".".join(i.path): i.start for i in self.dut.csr.memory_map.all_resources()}
        self.where = lambda path: where[path]
        self.sim = Simulator(self.dut)
        self.sim.add_clock(1e-6)
        self.host = {}
        self.accepted = []

    def run(self, test):
        done = []

        async def process(ctx):
            await test(ctx)
            done.append(True)

        self.sim.add_testbench(process)
        self.sim.run_until(20e-3)
        assert done, "the test did not come to its end"

    async def read(self, ctx, path, offset=0):
        await ctx.tick().repeat(3)
        return await csr.read(ctx, self.dut.csr, self.where(path) + offset)

    async def write(self, ctx, path, value, offset=0):
        await ctx.tick().repeat(3)
        await csr.write(ctx, self.dut.csr, self.where(path) + offset, value)

    async def send(self, ctx, engine, function, content, *, tag=7, kind=3, error=False):
        port = self.dut.engine[engine].request
        for at in range(0, len(content), 8):
            part = content[at : at + 8]
            last = at + 8 >= len(content)
            packet = {
                "data": int.from_bytes(part, "little"),
                "empty": 8 - len(part),
                "last": last,
                "error": last and error,
            }
            header = {"function": function, "kind": kind, "tag": tag, "length": len(content)}
            ctx.set(port.payload, {"packet": packet, "header": header})
            ctx.set(port.valid, 1)
            for _ in range(LIMIT):
                _, _, ready = await ctx.tick().sample(port.ready)
                if ready:
                    break
            else:
                raise AssertionError("a message that has begun was not taken")
        ctx.set(port.valid, 0)
        await ctx.tick().repeat(40)

    async def take(self, ctx, function):
        """What software reads of the function's oldest message: header, content, taken."""
        await self.write(ctx, "requests.select", function)
        first = await self.read(ctx, "requests.message")
        second = await self.read(ctx, "requests.message")
        length = second >> 16
        words = [await self.read(ctx, "requests.message") for _ in range((length + 3) // 4)]
        await self.write(ctx, "requests.take", 0)
        taken = await self.read(ctx, "requests.take")
        content = b"".join(word.to_bytes(4, "little") for word in words)[:length]
        return first, second & 0xFFFF, content, taken

    async def order(self, ctx, target, operation, length, address=0x1_2345_6780, tag=7):
        await self.write(ctx, "transfer.target", target)
        await self.write(ctx, "transfer.tag", tag)
        await self.write(ctx, "transfer.address_low", address & 0xFFFFFFFF)
        await self.write(ctx, "transfer.address_high", address >> 32)
        await self.write(ctx, "transfer.order", operation.value | length << 2)

    async def result(self, ctx):
        for _ in range(LIMIT * 8):
            status = await self.read(ctx, "transfer.status")
            if not status & 1:
                return Result(status >> 1)
            await ctx.tick()
        raise AssertionError("the order did not end")

    async def answer(self, ctx, content, *, error=False):
        """Serve one read command, as the PCIe room does."""
        command, answer = self.dut.read.command, self.dut.read.answer
        ctx.set(command.ready, 1)
        (payload,) = await ctx.tick().sample(command.payload).until(command.valid)
        ctx.set(command.ready, 0)
        for at in range(0, max(1, len(content)), 8):
            part = content[at : at + 8]
            last = at + 8 >= len(content)
            ctx.set(
                answer.payload.packet,
                {
                    "data": int.from_bytes(part, "little"),
                    "empty": (8 - len(part)) % 8,
                    "last": last,
                    "error": last and error,
                },
            )
            ctx.set(answer.valid, 1)
            await ctx.tick().until(answer.ready)
        ctx.set(answer.valid, 0)
        return payload

    async def accept(self, ctx):
        """Take one write command and its data; returns both."""
        command, data = self.dut.write.command, self.dut.write.data
        ctx.set(command.ready, 1)
        (payload,) = await ctx.tick().sample(command.payload).until(command.valid)
        ctx.set(command.ready, 0)
        await ctx.tick().repeat(3)
        return payload, await self._packet(ctx, data, lambda p: p)

    async def reply(self, ctx, engine):
        """Take a reply; returns header and content."""
        port = self.dut.engine[engine].reply
        header = []

        def beat(payload):
            header.append(payload.header)
            return payload.packet

        content = await self._packet(ctx, port, beat)
        assert all(each == header[0] for each in header)
        return header[0], content

    @staticmethod
    async def _packet(ctx, port, beat):
        content = b""
        ctx.set(port.ready, 1)
        while True:
            (payload,) = await ctx.tick().sample(port.payload).until(port.valid)
            packet = beat(payload)
            content += int(packet.data).to_bytes(8, "little")[: 8 - packet.empty]
            if packet.last:
                ctx.set(port.ready, 0)
                return content


@pytest.mark.parametrize("length", [9, MAX_MESSAGE_BYTES])
def test_message_arrives(length):
    card = Card()
    content = bytes(range(1, length + 1))

    async def test(ctx):
        await card.send(ctx, 1, 2, content, tag=0xBEEF, kind=0x5A)
        assert await card.read(ctx, "requests.pending") == 1 << 2
        first, tag, found, taken = await card.take(ctx, 2)
        assert (first & 0xFF, first >> 8 & 0xFF, first >> 16 & 0xFF) == (0x5A, 2, 1)
        assert (tag, found, taken) == (0xBEEF, content, 1)
        assert await card.read(ctx, "requests.pending") == 0

    card.run(test)


def test_a_flood_takes_its_own_credit_only():
    card = Card()
    quota = card.dut.quota
    assert quota == 4

    async def test(ctx):
        credit = card.dut.engine[0].credit
        for number in range(quota):
            assert ctx.get(credit) & 1
            await card.send(ctx, 0, 0, bytes([number]))
        assert ctx.get(credit) & 0b1111 == 0b1110
        # Against the rules: it is lost, and nobody hangs.
        await card.send(ctx, 0, 0, b"\xff")
        await card.send(ctx, 1, 1, b"neighbour")
        assert await card.read(ctx, "requests.pending") == 0b11
        assert (await card.take(ctx, 1))[2] == b"neighbour"
        for number in range(quota):
            assert (await card.take(ctx, 0))[2] == bytes([number])
            assert ctx.get(credit) & 1
        assert await card.read(ctx, "requests.pending") == 0

    card.run(test)


def test_a_broken_message_is_dropped():
    card = Card()

    async def test(ctx):
        await card.send(ctx, 0, 1, bytes(20), error=True)
        await card.send(ctx, 0, 1, bytes(MAX_MESSAGE_BYTES + 8))
        assert await card.read(ctx, "requests.pending") == 0
        await card.send(ctx, 0, 1, b"good")
        assert (await card.take(ctx, 1))[2:] == (b"good", 1)

    card.run(test)


@pytest.mark.parametrize("length", [1, 4096])
def test_copies_and_the_reply_behind_them(length):
    card = Card()
    content = bytes(n * 7 & 0xFF for n in range(length))

    async def test(ctx):
        await card.send(ctx, 1, 3, b"?", tag=9)
        target = (await card.take(ctx, 3))[0]
        await card.order(ctx, target, Operation.FROM_HOST, length)
        command = await card.answer(ctx, content)
        assert (command.function, command.length) == (3, length)
        assert command.address == 0x1_2345_6780
        assert await card.result(ctx) is Result.DONE
        words = [await card.read(ctx, "window.words", n) for n in range(min(4, (length + 3) // 4))]
        found = b"".join(word.to_bytes(4, "little") for word in words)
        assert found[: min(length, 16)] == content[:16]

        await card.order(ctx, target, Operation.TO_HOST, length)
        # A reply ordered too early is not taken: it cannot get before the data.
        await card.write(ctx, "transfer.order", Operation.REPLY.value | 8 << 2)
        await ctx.tick().repeat(50)
        assert not ctx.get(card.dut.engine[1].reply.valid)
        command, data = await card.accept(ctx)
        assert (command.function, command.length, data) == (3, length, content)
        assert await card.result(ctx) is Result.DONE
        await card.write(ctx, "window.words", 0x44332211)
        await card.order(ctx, target, Operation.REPLY, 3, tag=9)
        header, data = await card.reply(ctx, 1)
        assert (header.function, header.tag, header.length) == (3, 9, 3)
        assert data == b"\x11\x22\x33"
        assert await card.result(ctx) is Result.DONE

    card.run(test)


def test_a_read_that_fails_is_reported():
    card = Card()

    async def test(ctx):
        for content, error in ((b"", True), (bytes(16), True), (bytes(16), False)):
            await card.order(ctx, 0, Operation.FROM_HOST, 24)
            await card.answer(ctx, content, error=error)
            assert await card.result(ctx) is Result.FAILED
        await card.order(ctx, 0, Operation.FROM_HOST, 24)
        await card.answer(ctx, bytes(24))
        assert await card.result(ctx) is Result.DONE

    card.run(test)


def test_bad_orders_are_refused():
    card = Card()
    bad = (
        (0, Operation.FROM_HOST, 0),
        (0, Operation.FROM_HOST, 4097),
        (0, Operation.REPLY, MAX_MESSAGE_BYTES + 1),
        (4 << 8, Operation.TO_HOST, 8),
        (2 << 16, Operation.REPLY, 8),
        (1 << 24, Operation.TO_HOST, 8),
    )

    async def test(ctx):
        for target, operation, length in bad:
            await card.order(ctx, target, operation, length)
            assert await card.result(ctx) is Result.REFUSED
            assert not ctx.get(card.dut.read.command.valid | card.dut.write.command.valid)

    card.run(test)


def test_without_a_copier_there_are_replies_alone():
    card = Card(copies=False)
    assert not hasattr(card.dut, "read")

    async def test(ctx):
        await card.send(ctx, 1, 3, b"?", tag=9)
        target = (await card.take(ctx, 3))[0]
        for operation in (Operation.FROM_HOST, Operation.TO_HOST):
            await card.order(ctx, target, operation, 8)
            assert await card.result(ctx) == Result.REFUSED
        await card.order(ctx, target, Operation.REPLY, 5)
        assert await card.result(ctx) == Result.REFUSED
        await card.write(ctx, "window.words", 0xA5)
        reply = card.dut.engine[1].reply
        ctx.set(reply.ready, 1)
        await card.order(ctx, target, Operation.REPLY, 1, tag=9)
        (payload,) = await ctx.tick().sample(reply.payload).until(reply.valid)
        assert (payload.header.function, payload.header.tag) == (3, 9)
        assert payload.packet.data & 0xFF == 0xA5 and payload.packet.last
        assert await card.result(ctx) == Result.DONE

    card.run(test)


def test_nothing_gets_behind_a_reset():
    card = Card()

    async def test(ctx):
        engine = card.dut.engine[0]
        await card.send(ctx, 0, 1, b"old")
        await card.send(ctx, 0, 1, b"older")
        await card.send(ctx, 0, 2, b"neighbour")
        target = (await card.take(ctx, 1))[0]
        await card.order(ctx, target, Operation.FROM_HOST, 8)
        await card.write(ctx, "requests.select", 1)
        ctx.set(engine.reset, 1 << 1)
        await ctx.tick().repeat(60)
        assert not ctx.get(engine.reset_done), "a read was outstanding"
        await card.answer(ctx, b"", error=True)
        assert await card.result(ctx) is Result.FAILED
        await ctx.tick().repeat(3)
        assert ctx.get(engine.reset_done) == 1 << 1
        await card.order(ctx, target + (1 << 24), Operation.TO_HOST, 8)
        assert await card.result(ctx) is Result.REFUSED, "still in reset"
        ctx.set(engine.reset, 0)
        await ctx.tick().repeat(3)
        assert not ctx.get(engine.reset_done)

        await card.send(ctx, 0, 1, b"new")
        await card.write(ctx, "requests.take", 0)
        assert await card.read(ctx, "requests.take") == 0, "what was selected is gone"
        for operation in Operation:
            await card.order(ctx, target, operation, 8)
            assert await card.result(ctx) is Result.REFUSED
        first, _, content, taken = await card.take(ctx, 1)
        assert (content, taken, first >> 24) == (b"new", 1, 1)
        assert (await card.take(ctx, 2))[2:] == (b"neighbour", 1)

    card.run(test)
