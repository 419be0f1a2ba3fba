"""Both ends of the admin firmware in plain Python: the mailbox's registers, and a host.

``MailboxModel`` is written from ``niter.interface.mailbox`` and the register classes' own words;
``Host`` submits entries as the front's messages have them and gets back what the front was told.
"""

import struct
from collections import deque
from dataclasses import dataclass, field

from amaranth.lib import data

from firmware.host.nvme import Admin
from firmware.host.nvme.process import Access
from niter import csr
from niter.nvme.config import NvmeConfig
from niter.nvme.front.messages import Reply, ReplyKind, RequestKind
from niter.soc import Mailbox

__all__ = ["LIMITS", "Host", "MailboxModel", "Told", "submission_entry"]

LIMITS = NvmeConfig(functions=2, queues=4, entries=1024)

_DONE, _FAILED, _REFUSED = range(3)


def _memory_map() -> csr.MemoryMap:
    """The registers that the firmware uses, as a card would have them."""
    words = csr.MemoryMap(addr_width=9)
    words.add_resource(csr.WordArray(512, "Namespaces."), name="namespaces", size=512)
    table = csr.Signature(addr_width=9).create()
    table.memory_map = words
    mailbox = Mailbox(1, LIMITS.functions)
    return csr.decoder_of(
        {
            "soc": csr.decoder_of({"mailbox": mailbox.csr}).bus,
            "storage": csr.decoder_of({"nvme": csr.decoder_of({"engine": table}).bus}).bus,
        }
    ).bus.memory_map


@dataclass(frozen=True)
class Told:
    """A reply that the front got."""

    function: int
    tag: int
    kind: ReplyKind
    queue: int
    partner: int
    last: int
    threshold: int
    time: int
    cid: int
    address: int
    result: int
    status: int
    silent: int

    @classmethod
    def parse(cls, function: int, tag: int, kind: int, content: bytes) -> "Told":
        layout = data.Layout.cast(Reply)
        assert len(content) * 8 == layout.size
        bits = int.from_bytes(content, "little")
        fields = {
            name: bits >> place.offset & (1 << place.width) - 1
            for name, place in layout
            if not name.startswith("_")
        }
        return cls(function, tag, ReplyKind(kind), **fields)


def submission_entry(
    opcode: int,
    cid: int,
    *,
    nsid: int = 0,
    prp1: int = 0,
    prp2: int = 0,
    flags: int = 0,
    **dwords: int,
) -> bytes:
    """An entry as a host writes it; ``dw<n>`` are its further dwords."""
    entry = bytearray(64)
    struct.pack_into("<BBHI", entry, 0, opcode, flags, cid, nsid)
    struct.pack_into("<QQ", entry, 24, prp1, prp2)
    for name, value in dwords.items():
        struct.pack_into("<I", entry, 4 * int(name.removeprefix("dw")), value)
    return bytes(entry)


@dataclass
class MailboxModel:
    """The mailbox's registers, and host memory behind its copies."""

    memory_map: csr.MemoryMap = field(default_factory=_memory_map)
    functions: int = LIMITS.functions
    memory: dict[int, int] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    told: deque = field(default_factory=deque)

    def __post_init__(self):
        self._names = {}
        for info in self.memory_map.all_resources():
            for word in range(info.end - info.start):
                self._names[info.start + word] = (".".join(info.path), word)
        self._waiting = {f: deque() for f in range(self.functions)}
        self.generation = [0] * self.functions
        self._window = bytearray(4096)
        self._latched = {}
        self._selected, self._words, self._taken = None, deque(), 0
        self._result = _DONE
        self._polls = 0
        self.table = {}
        self.copies = []

    def send(
        self, function: int, kind: RequestKind, tag: int, content: bytes, *, engine: int = 0
    ) -> None:
        head = int(kind), engine, self.generation[function]
        self._waiting[function].append((head, tag, content))

    def reset(self, function: int) -> None:
        self._waiting[function].clear()
        self.generation[function] += 1
        if self._selected == function:
            self._selected = None

    def access(self, wanted: Access) -> int | None:
        path, word = self._names[wanted.address]
        where = path.removeprefix("soc.mailbox.")
        if wanted.value is None:
            return self._read(where, word)
        self._write(where, word, wanted.value)
        return None

    def _read(self, where, word):
        match where:
            case "requests.pending":
                return sum(1 << f for f, waiting in self._waiting.items() if waiting)
            case "requests.message":
                return self._words.popleft() if self._words else 0xDEADBEEF
            case "requests.take":
                return self._taken
            case "transfer.status":
                # Every order takes a while.
                self._polls += 1
                return 1 if self._polls < 3 else self._result << 1
            case "window.words":
                return int.from_bytes(self._window[4 * word : 4 * word + 4], "little")
        raise AssertionError(f"nothing to read at {where}")

    def _write(self, where, word, value):
        match where:
            case "requests.select":
                self._selected = value
                (kind, engine, generation), tag, content = self._waiting[value][0]
                head = [kind | value << 8 | engine << 16 | (generation & 0xFF) << 24]
                head.append(tag | len(content) << 16)
                padded = content + bytes(-len(content) % 4)
                self._words = deque([*head, *struct.unpack(f"<{len(padded) // 4}I", padded)])
            case "requests.take":
                self._taken = int(self._selected is not None)
                if self._taken:
                    self._waiting[self._selected].popleft()
                self._selected = None
            case "window.words":
                assert self._polls >= 3 or not self._latched.get("busy"), "the window is in use"
                self._window[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
            case "transfer.order":
                self._order(value & 3, value >> 2)
            case "storage.nvme.engine.namespaces":
                self.table[word] = value
            case _:
                self._latched[where] = value

    def _tell(self, function, target, content):
        told = Told.parse(function, self._latched["transfer.tag"], target & 0xFF, content)
        self.told.append(told)

    def _order(self, operation, length):
        target = self._latched["transfer.target"]
        function, generation = target >> 8 & 0xFF, target >> 24
        self._polls = 0
        assert 1 <= length <= (72 if operation == 2 else 4096)
        if generation != self.generation[function] & 0xFF:
            self._result = _REFUSED
            return
        self._result = _DONE
        if operation == 2:
            self._tell(function, target, bytes(self._window[:length]))
            return
        at = self._latched["transfer.address_low"] | self._latched["transfer.address_high"] << 32
        assert at % 4096 + length <= 4096, "a copy crosses the host's pages"
        self.copies.append((operation, at, length))
        if at // 4096 in self.refused:
            self._result = _FAILED
        elif operation == 0:
            self._window[:length] = bytes(self.memory[at + n] for n in range(length))
        else:
            self.memory.update(enumerate(self._window[:length], at))


class Host:
    """A host with an admin queue, and the front between it and the firmware."""

    def __init__(self):
        self.model = MailboxModel()
        self.admin = Admin(self.model.memory_map, LIMITS, hz=1_000_000)
        self._run(self.admin.open())
        self._cid = 0x100

    def close(self):
        self.admin.close()

    def _run(self, work):
        return self.admin.run(work, self.model.access)

    def turns(self, most=2000):
        """Let the firmware work until it is idle and nothing waits for it."""
        idle = 0
        for _ in range(most):
            idle = idle + 1 if self._run(self.admin.turn()) else 0
            if idle == 2:
                return
        raise AssertionError("the firmware does not come to rest")

    def event(self, function=0, **bits):
        names = ["stopped", "started", "shutdown", "invalid_register", "invalid_value", "fatal"]
        value = sum(1 << names.index(name) for name in bits)
        self.model.send(function, RequestKind.EVENT, 0, value.to_bytes(8, "little"))
        self.turns()

    def enable(self, function=0):
        self.model.reset(function)
        self.event(function, stopped=1, started=1)

    def attach(self, function, nsid, namespace):
        done = self._run(self.admin.attach(function, nsid, namespace))
        self.turns()
        return done

    def detach(self, function, nsid):
        done = self._run(self.admin.detach(function, nsid))
        self.turns()
        return done

    def temperature(self, kelvin):
        self._run(self.admin.temperature(kelvin))
        self.turns()

    def wait(self, ms):
        self.admin.now += ms * self.admin.hz // 1000
        self.turns()

    def submit(self, opcode, *, function=0, **fields):
        """Submit an entry; returns its CID."""
        self._cid += 1
        entry = submission_entry(opcode, self._cid, **fields)
        self.model.send(function, RequestKind.ADMIN, self._cid, entry)
        self.turns()
        return self._cid

    def command(self, opcode, **fields) -> Told:
        """Submit an entry, and return its only answer."""
        cid = self.submit(opcode, **fields)
        answers = [told for told in self.model.told if not told.silent and told.tag == cid]
        assert len(answers) == 1, answers
        self.model.told.remove(answers[0])
        return answers[0]

    def memory(self, at, length):
        return bytes(self.model.memory[at + n] for n in range(length))
