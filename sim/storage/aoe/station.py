"""The initiator as a model in this process: its host, its control, and whatever the wire is.

The host is the block contract's judge: it asserts that data moves for open requests only, that no
sector is pushed twice, and that each request ends once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random

from amaranth.lib.wiring import Component

from niter.interface import (
    SECTOR_BYTES,
    Beat,
    BlockCompletion,
    BlockOpcode,
    BlockRequest,
    BlockSpan,
    BlockStatus,
    FrameBeat,
)
from niter.storage.aoe import Aoe, TargetRecord
from sim.direct import Model, Stream, build_model
from sim.models.control import Registers

__all__ = ["OURS", "Request", "Station"]

#: The card's address.
OURS = "02:00:00:00:0a:0e"


@dataclass(eq=False)
class Request:
    """A request, the host's memory for it, and how it ended."""

    opcode: BlockOpcode
    lba: int = 0
    sectors: int = 0
    volume: int = 0
    fua: bool = False
    memory: bytearray = field(default_factory=bytearray)
    #: What a read has to find.
    expected: bytes = b""
    status: BlockStatus | None = None
    pushed: set[int] = field(default_factory=set)

    def __post_init__(self):
        self.memory = self.memory or bytearray(self.sectors * SECTOR_BYTES)


class _Control(Registers):
    """The model's control bus."""

    def __init__(self, model: Model, memory_map):
        super().__init__(memory_map)
        self._model = model

    def _access(self, address: int, strobe: str) -> int:
        model = self._model
        model.poke("csr__addr", address)
        model.poke(strobe, 1)
        model.run(1)
        model.poke(strobe, 0)
        return model.peek("csr__r_data")

    async def write_word(self, address: int, value: int) -> None:
        """Write the word at ``address``."""
        self._model.poke("csr__w_data", value)
        self._access(address, "csr__w_stb")

    async def read_word(self, address: int) -> int:
        """Read the word at ``address``."""
        return self._access(address, "csr__r_stb")


def _finish(work):
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("It waits")


def _initiator() -> Aoe:
    return Aoe(ports=2)


@cache
def _built(make: Callable[[], Component]):
    """A model's library, and its registers; the same for all its stations."""
    component = make()
    return build_model(component), component.csr.memory_map


class Station:
    """An initiator at work.

    Parameters
    ----------
    wire
        Takes each frame of the card's; answers go to ``receive`` at any time.
    seed
        Of the stalls, and of the order in which tags are used.
    stall
        Share of the cycles in which each stream rests.
    make, path
        Makes the component, which has the initiator's ports, and where in its registers the
        initiator's are. By default it is the initiator itself, with two ports.
    """

    def __init__(
        self,
        wire: Callable[[bytes], None],
        *,
        seed: int = 1,
        stall: float = 0.02,
        make: Callable[[], Component] = _initiator,
        path: str = "",
    ):
        library, memory_map = _built(make)
        self._path = path
        self.model = model = Model(library, seed)
        self.control = _Control(model, memory_map)
        self._wire = wire

        def stream(name, shape):
            return Stream(model, name, shape, stall=stall)

        self._requests = stream("i__request", BlockRequest)
        self._completions = stream("i__completion", BlockCompletion)
        self._aborts, self._aborted = stream("i__abort", 8), stream("i__aborted", 8)
        self._pulls, self._pushes = stream("i__pull", BlockSpan), stream("i__push", BlockSpan)
        self._pull_data, self._push_data = (
            stream("i__pull_data", Beat),
            stream("i__push_data", Beat),
        )
        self._from_wire, self._to_wire = stream("o_wire", FrameBeat), stream("i_wire", FrameBeat)
        self._free = list(range(256))
        Random(seed).shuffle(self._free)
        #: Requests that have not ended, by tag, and those being taken back.
        self.open: dict[int, Request] = {}
        self._aborting: set[int] = set()
        # The engine clears its memories first.
        model.run(600)

    @property
    def now(self) -> int:
        """Cycles so far."""
        return self.model.now

    def write(self, path: str, value: int = 0, **fields: int) -> None:
        """Write a register."""
        _finish(self.control.write(path, value, **fields))

    def write_words(self, path: str, first: int, words: list[int]) -> None:
        """Write words of a table."""
        base = self.control.address(path) + first
        for at, word in enumerate(words, base):
            _finish(self.control.write_word(at, word))

    def set_up(self, *, floor: int = 3, silence: int = 100, lifetime: int = 25, seed: int = 7):
        """Write the network's times, in ticks of 256 cycles, and the card's address."""
        values = {"seed": seed, "floor": floor, "silence": silence, "lifetime": lifetime}
        for name, value in values.items():
            self.write(f"{self._path}registers.{name}", value)
        self.set_source(0, int(OURS.replace(":", ""), 16))

    def set_source(self, port: int, mac: int) -> None:
        """Give the card its address on a port."""
        self.write_words(self._path + "sources.words", 2 * port, [mac >> 32, mac & 0xFFFFFFFF])

    def record(self, number: int, target, flags: int = TargetRecord.ENABLED, port: int = 0) -> None:
        """Write a target's record: of what has ``mac``, ``shelf``, ``slot``, ``sectors`` and
        ``buffers``."""
        mac = int(target.mac.replace(":", ""), 16)
        limits = (target.sectors, target.buffers, flags, port)
        words = TargetRecord.words(mac, target.shelf, target.slot, *limits)
        self.write_words(self._path + "targets.words", number * TargetRecord.STRIDE, words)
        self.model.run(100)

    def attach(self, volume: int, number: int, target) -> None:
        """Put a volume at a target; see ``record``."""
        self.record(number, target)
        self.write_words(self._path + "volumes.words", volume, [16 | number])
        self.model.run(100)

    def counters(self, number: int = 0) -> dict[str, int]:
        """What was counted for a target."""
        prefix = f"target_{number}_"
        values = _finish(self.control.counters(self._path + "counters.counters"))
        return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}

    def ask(self, number: int, command: int, argument: bytes, *, tag: int = 0xBEEF) -> None:
        """Let control ask a target; ``answer`` has what it says, some time later."""
        words = [int.from_bytes(argument[at : at + 4].ljust(4, b"\0"), "big") for at in (0, 4)]
        self.write_words(self._path + "query.argument.words", 0, words)
        self.write(self._path + "query.registers.ask", target=number, command=command, tag=tag)

    def answer(self) -> bytes | None:
        """The answer to control's question."""
        read = self.control.read
        if not _finish(read(self._path + "query.registers.status", "answered")):
            return None
        base = self.control.address(self._path + "query.answer.words")
        count = _finish(read(self._path + "query.registers.status", "words"))
        words = [_finish(self.control.read_word(base + n)) for n in range(count)]
        return b"".join(word.to_bytes(4, "little") for word in words)

    def issue(self, request: Request) -> int:
        """Ask for it; returns its tag."""
        tag = self._free.pop(0)
        self.open[tag] = request
        names = ("opcode", "volume", "fua", "lba", "sectors")
        self._requests.put({"tag": tag, **{name: getattr(request, name) for name in names}})
        return tag

    def abort(self, tag: int) -> None:
        """Take a request back."""
        assert tag in self.open
        self._aborting.add(tag)
        self._aborts.put(tag)

    def receive(self, frame: bytes) -> None:
        """A frame comes from the wire."""
        self._to_wire.put(frame.ljust(60, b"\0"))

    def run(self, cycles: int) -> None:
        """Run until something comes out, so many cycles at most, and answer it."""
        self.model.run(cycles)
        while len(self._from_wire):
            frame = self._from_wire.take()
            if frame is not None:
                self._wire(frame)
        while len(self._pulls):
            span = self._pulls.take()
            at, end = self._of(span, BlockOpcode.WRITE)
            self._pull_data.put(self.open[span.tag].memory[at:end])
        while len(self._push_data):
            data = self._push_data.take()
            span = self._pushes.take()
            at, end = self._of(span, BlockOpcode.READ)
            request = self.open[span.tag]
            sectors = set(range(span.first, span.first + span.sectors))
            assert not sectors & request.pushed, "a sector is pushed twice"
            assert data is not None and len(data) == end - at
            request.pushed |= sectors
            request.memory[at:end] = data
        while len(self._completions):
            ended = self._completions.take()
            assert ended.tag in self.open, f"completion of tag {ended.tag}, which is not in use"
            request = self.open.pop(ended.tag)
            request.status = BlockStatus(ended.status)
            if request.status == BlockStatus.OK and request.opcode == BlockOpcode.READ:
                assert len(request.pushed) == request.sectors, "completed before its data came"
            if ended.tag not in self._aborting:
                self._free.append(ended.tag)
        while len(self._aborted):
            tag = self._aborted.take()
            self._aborting.remove(tag)
            self.open.pop(tag, None)
            self._free.append(tag)

    def _of(self, span, opcode: BlockOpcode) -> tuple[int, int]:
        assert span.tag in self.open, f"data of tag {span.tag}, which is not in use"
        request = self.open[span.tag]
        assert request.opcode == opcode
        assert 1 <= span.sectors <= 16 and span.first + span.sectors <= request.sectors
        return span.first * SECTOR_BYTES, (span.first + span.sectors) * SECTOR_BYTES

    def close(self) -> None:
        """End the model."""
        self.model.close()
