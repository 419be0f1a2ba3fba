"""A host's NVMe driver and the card's admin firmware, as models written from the specification.

NVM Express Base 2.0: registers 3.1.3, queues 3.3, admin commands 5. The driver checks each
completion entry: phase, order in the ring, queue head, and what the engine or firmware said.
"""

from collections import deque
from dataclasses import dataclass, field

from niter.nvme.front.messages import NO_INTERRUPT, ReplyKind, RequestKind
from sim.models.memory import Region
from tests.nvme.rig import PATIENCE, Message, Rig, pause

__all__ = ["CompletionQueue", "Controller", "Driver", "Firmware", "SubmissionQueue"]

CAP, VS, INTMS, CC, CSTS, AQA, ASQ, ACQ = 0, 8, 0xC, 0x14, 0x1C, 0x24, 0x28, 0x30
ENABLE, ENTRY_SIZES = 1, 4 << 20 | 6 << 16
READY, FATAL, SHUTDOWN_MASK, SHUTDOWN_COMPLETE = 1, 2, 0xC, 0x8


class Driver:
    """Register accesses of all functions, one at a time."""

    def __init__(self, rig: Rig):
        self.rig = rig
        self._busy = False

    async def access(self, ctx, function, offset, size, value=None, *, bar=0):
        """Read, or write ``value`` to, ``size`` bytes within an aligned eight."""
        while self._busy:
            await ctx.tick()
        self._busy = True
        port = self.rig.dut.function
        lane = offset % 8
        request = {
            "function": function,
            "bar": bar,
            "address": offset - lane,
            "write": value is not None,
            "data": (value or 0) << 8 * lane,
            "mask": (1 << size) - 1 << lane,
        }
        ctx.set(port.request.payload, request)
        ctx.set(port.request.valid, 1)
        for _ in range(PATIENCE):
            _, _, ready = await ctx.tick().sample(port.request.ready)
            if ready:
                break
        else:
            raise AssertionError("a register access is not taken")
        ctx.set(port.request.valid, 0)
        answer = None
        if value is None:
            ctx.set(port.reply.ready, 1)
            (reply,) = await ctx.tick().sample(port.reply.payload).until(port.reply.valid)
            ctx.set(port.reply.ready, 0)
            assert not reply.error
            answer = reply.data >> 8 * lane & (1 << 8 * size) - 1
        self._busy = False
        return answer


@dataclass
class SubmissionQueue:
    """The driver's side of a submission queue."""

    number: int
    size: int
    region: Region
    completion: "CompletionQueue"
    tail: int = 0
    #: As the controller has told it.
    head: int = 0
    pending: dict[int, bytes] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Entries that may be added."""
        return (self.head - self.tail - 1) % self.size


@dataclass
class CompletionQueue:
    """The driver's side of a completion queue."""

    number: int
    size: int
    region: Region
    vector: int
    head: int = 0
    phase: int = 1


class Controller:
    """The driver of one controller."""

    def __init__(self, driver: Driver, function: int):
        self.driver = driver
        self.rig = driver.rig
        self.function = function
        self.sqs: dict[int, SubmissionQueue] = {}
        self.cqs: dict[int, CompletionQueue] = {}
        self.completed: dict[tuple[int, int], tuple[int, int]] = {}
        self.next_cid = 0

    async def read(self, ctx, offset, size=4):
        """A register."""
        return await self.driver.access(ctx, self.function, offset, size)

    async def write(self, ctx, offset, value, size=4):
        """A register."""
        await self.driver.access(ctx, self.function, offset, size, value)

    def _allocate(self, number, entries, kind):
        size = 64 if kind == "sq" else 16
        region = self.rig.memory.allocate(
            entries * size,
            align=4096,
            name=f"{kind} {number} of {self.function}",
            readable=kind == "sq",
            writable=kind == "cq",
        )
        return region

    async def start(self, ctx, sq_size=16, cq_size=16, *, sizes=ENTRY_SIZES):
        """Create the admin queues and enable the controller."""
        acq = CompletionQueue(0, cq_size, self._allocate(0, cq_size, "cq"), 0)
        asq = SubmissionQueue(0, sq_size, self._allocate(0, sq_size, "sq"), acq)
        self.cqs, self.sqs = {0: acq}, {0: asq}
        await self.write(ctx, AQA, cq_size - 1 << 16 | sq_size - 1)
        await self.write(ctx, ASQ, asq.region.address, 8)
        await self.write(ctx, ACQ, acq.region.address, 8)
        await self.write(ctx, CC, sizes | ENABLE)
        await self.wait(ctx, READY | FATAL, READY)

    async def wait(self, ctx, mask, value, cycles=4000):
        """Until CSTS shows ``value``."""
        end = self.rig.now + cycles
        while await self.read(ctx, CSTS) & mask != value:
            assert self.rig.now < end, f"CSTS does not become {value:#x} (seed {self.rig.seed})"
            await pause(ctx, 10)

    def forget(self):
        """Take all queues back from the card."""
        for queue in [*self.sqs.values(), *self.cqs.values()]:
            self.rig.memory.free(queue.region)
        self.sqs, self.cqs = {}, {}

    async def stop(self, ctx):
        """Reset the controller by CC.EN."""
        await self.write(ctx, CC, ENTRY_SIZES)
        await self.wait(ctx, READY, 0)
        self.forget()

    async def reset(self, ctx):
        """Reset the function; returns when that is acknowledged."""
        port = self.rig.dut.function
        bit = 1 << self.function
        ctx.set(port.reset, ctx.get(port.reset) | bit)
        end = self.rig.now + 4000
        while not ctx.get(port.reset_done) & bit:
            await ctx.tick()
            assert self.rig.now < end, f"a reset does not end (seed {self.rig.seed})"
        assert not self.rig.outstanding[self.function], "a read is outstanding after a reset"
        self.forget()
        await pause(ctx, self.rig.rng.randrange(20))
        ctx.set(port.reset, ctx.get(port.reset) & ~bit)
        await pause(ctx, 3)

    # Commands.

    def put(self, sq: SubmissionQueue, opcode: int, fields: dict[int, int] | None = None) -> int:
        """Put an entry into the ring; ``fields`` are dwords by number. Returns its CID."""
        assert sq.free, "the driver adds to a full queue"
        while self.next_cid in sq.pending:
            self.next_cid = (self.next_cid + 1) & 0xFFFF
        cid = self.next_cid
        self.next_cid = (self.next_cid + 1) & 0xFFFF
        entry = bytearray(self.rig.rng.randbytes(64))
        entry[0], entry[2:4] = opcode, cid.to_bytes(2, "little")
        for dword, value in (fields or {}).items():
            entry[4 * dword : 4 * dword + 4] = (value & 0xFFFF_FFFF).to_bytes(4, "little")
        sq.region.write(64 * sq.tail, bytes(entry))
        sq.pending[cid] = bytes(entry)
        sq.tail = (sq.tail + 1) % sq.size
        return cid

    async def ring(self, ctx, sq: SubmissionQueue):
        """Write the tail doorbell."""
        await self.write(ctx, 0x1000 + 8 * sq.number, sq.tail)

    async def poll(self, ctx, cq: CompletionQueue, *, limit=None, ring=True) -> int:
        """Take what is in a completion queue; returns how many entries."""
        count = 0
        while count != limit:
            raw = cq.region.read(16 * cq.head, 16)
            number = int.from_bytes(raw, "little")
            if number >> 112 & 1 != cq.phase:
                break
            assert number >> 32 & 0xFFFF_FFFF == 0
            sq = self.sqs[number >> 80 & 0xFFFF]
            cid, head = number >> 96 & 0xFFFF, number >> 64 & 0xFFFF
            result, status = number & 0xFFFF_FFFF, number >> 113
            assert sq.completion is cq, "an entry in the wrong queue"
            assert cid in sq.pending, f"entry for {cid} of {sq.number}, which is not pending"
            # What the head passes must be what was submitted.
            assert (head - sq.head) % sq.size <= (sq.tail - sq.head) % sq.size
            sq.head = head
            del sq.pending[cid]
            self.completed[sq.number, cid] = status, result
            key = self.function, sq.number, cid
            expected = self.rig.answers.pop(key, None)
            assert expected is None or expected == (status, result), f"wrong answer for {key}"
            cq.head = (cq.head + 1) % cq.size
            cq.phase ^= cq.head == 0
            count += 1
        if count and ring:
            await self.write(ctx, 0x1004 + 8 * cq.number, cq.head)
        return count

    async def admin(self, ctx, opcode, fields=None, *, cycles=4000) -> tuple[int, int]:
        """Execute an admin command; returns its status and result."""
        sq = self.sqs[0]
        cid = self.put(sq, opcode, fields)
        await self.ring(ctx, sq)
        end = self.rig.now + cycles
        while (0, cid) not in self.completed:
            await pause(ctx, 5)
            await self.poll(ctx, sq.completion)
            assert self.rig.now < end, f"admin command {opcode} hangs (seed {self.rig.seed})"
        return self.completed.pop((0, cid))

    async def create(self, ctx, number, sq_size, cq_size, *, vector=None, cq=None):
        """Create a pair of I/O queues, or a submission queue for an older completion queue."""
        if cq is None:
            cq = CompletionQueue(
                number, cq_size, self._allocate(number, cq_size, "cq"), vector or number
            )
            self.cqs[number] = cq
            address = cq.region.address
            fields = {6: address, 7: address >> 32, 10: cq_size - 1 << 16 | number}
            fields[11] = 1 | (vector != NO_INTERRUPT) << 1 | cq.vector << 16
            assert (await self.admin(ctx, 5, fields))[0] == 0
        sq = SubmissionQueue(number, sq_size, self._allocate(number, sq_size, "sq"), cq)
        self.sqs[number] = sq
        address = sq.region.address
        fields = {6: address, 7: address >> 32, 10: sq_size - 1 << 16 | number}
        fields[11] = 1 | cq.number << 16
        assert (await self.admin(ctx, 1, fields))[0] == 0
        return sq

    async def delete(self, ctx, number):
        """Delete a submission queue, then its completion queue if no other needs it."""
        assert (await self.admin(ctx, 0, {10: number}))[0] == 0
        sq = self.sqs.pop(number)
        self.rig.memory.free(sq.region)
        cq = sq.completion
        await self.poll_deleted(ctx, cq, sq)
        if all(other.completion is not cq for other in self.sqs.values()):
            assert (await self.admin(ctx, 4, {10: cq.number}))[0] == 0
            self.rig.memory.free(self.cqs.pop(cq.number).region)
        return sq

    async def poll_deleted(self, ctx, cq, sq):
        """Take what was completed before the queue was deleted."""
        self.sqs[sq.number] = sq
        await self.poll(ctx, cq)
        del self.sqs[sq.number]


class Firmware:
    """Executes admin commands as the card's firmware would; other opcodes complete at random.

    Members
    -------
    events
        What each function's ``EVENT`` messages have said, in order.
    requests
        Asynchronous Event Requests that wait.
    """

    def __init__(self, rig: Rig, *, delay: int = 20):
        self.rig = rig
        self.delay = delay
        self.events: dict[int, list[int]] = {f: [] for f in range(8)}
        self.requests: dict[int, deque[int]] = {f: deque() for f in range(8)}
        self.asleep = False
        rig.sim.add_testbench(self._run, background=True)

    async def _run(self, ctx):
        while True:
            await pause(ctx, self.rig.rng.randrange(1, self.delay))
            functions = [f for f, queue in self.rig.messages.items() if queue]
            if not functions or self.asleep:
                continue
            message = self.rig.messages[self.rig.rng.choice(functions)].popleft()
            generation = self.rig.generation[message.function]
            await pause(ctx, self.rig.rng.randrange(1, self.delay))
            if generation != self.rig.generation[message.function]:
                continue
            if message.kind == RequestKind.EVENT:
                (events,) = {int.from_bytes(message.content, "little")}
                self.events[message.function].append(events)
            else:
                self._admin(message)

    def reply(self, function, tag, kind, **fields):
        """Send a reply."""
        self.rig.replies.append((function, tag, kind, fields))

    def _admin(self, message: Message):
        entry, f, tag = message.content, message.function, message.tag
        dword = [int.from_bytes(entry[n : n + 4], "little") for n in range(0, 64, 4)]
        assert tag == dword[0] >> 16, "the tag is not the command's identifier"
        number, last = dword[10] & 0xFFFF, dword[10] >> 16
        queue = {"queue": number, "last": last, "address": dword[6] | dword[7] << 32}
        match entry[0]:
            case 0:
                self.reply(f, tag, ReplyKind.DELETE_SQ, queue=number)
            case 1:
                self.reply(f, tag, ReplyKind.CREATE_SQ, partner=dword[11] >> 16, **queue)
            case 4:
                self.reply(f, tag, ReplyKind.DELETE_CQ, queue=number)
            case 5:
                vector = dword[11] >> 16 if dword[11] & 2 else NO_INTERRUPT
                self.reply(f, tag, ReplyKind.CREATE_CQ, partner=vector, **queue)
            case 8:
                self.reply(f, tag, ReplyKind.ABORT, queue=number, cid=last, result=1)
            case 9:
                for number in range(1, self.rig.dut.geometry.queues + 1):
                    self.reply(
                        f,
                        tag,
                        ReplyKind.COALESCE,
                        queue=number,
                        threshold=dword[11] & 0xFF,
                        time=dword[11] >> 8 & 0xFF,
                        silent=1,
                    )
                self.reply(f, tag, ReplyKind.COMPLETE)
            case 12:
                self.requests[f].append(tag)
            case _:
                status, result = self.rig.rng.getrandbits(15), self.rig.rng.getrandbits(32)
                self.rig.answers[f, 0, tag] = status, result
                self.reply(f, tag, ReplyKind.COMPLETE, status=status, result=result)
