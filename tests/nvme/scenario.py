"""A front with its models, put together, and what tests do with them again and again."""

from collections.abc import Callable, Iterable
from typing import Any

from niter.nvme.front import Front
from tests.nvme.host import Controller, Driver, Firmware
from tests.nvme.rig import Rig, pause

__all__ = [
    "FATAL_EVENT",
    "INVALID_REGISTER",
    "INVALID_VALUE",
    "READ",
    "SHUTDOWN",
    "STARTED",
    "STOPPED",
    "build",
    "traffic",
    "until",
]

#: An I/O opcode: the front looks at none.
READ = 2

#: Bits of ``niter.nvme.front.messages.Events``.
STOPPED, STARTED, SHUTDOWN, INVALID_REGISTER, INVALID_VALUE, FATAL_EVENT = (
    1 << n for n in range(6)
)


def build(
    seed: int, *, functions: int = 2, queues: int = 4, **options: Any
) -> tuple[Rig, Firmware, list[Controller]]:
    """A front; ``tags``, ``tick`` and ``entries`` are its, other options the rig's."""
    parameters = {
        name: options.pop(name) for name in ("tags", "tick", "entries") if name in options
    }
    rig = Rig(Front(functions, queues, **parameters), seed, **options)
    driver = Driver(rig)
    firmware = Firmware(rig)
    return rig, firmware, [Controller(driver, f) for f in range(functions)]


async def traffic(
    ctx: Any,
    controller: Controller,
    count: int,
    *,
    queues: Iterable[int] | None = None,
    cycles: int = 30_000,
) -> None:
    """Submit ``count`` commands in all at random, and take all completions."""
    rig = controller.rig
    sqs = [controller.sqs[n] for n in queues or controller.sqs if n]
    cqs = {id(sq.completion): sq.completion for sq in sqs}
    end = rig.now + cycles
    while count or any(sq.pending for sq in sqs):
        sq = rig.rng.choice(sqs)
        batch = rig.rng.randint(0, min(count, sq.free))
        for _ in range(batch):
            controller.put(sq, READ)
        count -= batch
        if batch:
            await controller.ring(ctx, sq)
        if rig.rng.random() < 0.5:
            await pause(ctx, rig.rng.randrange(60))
        for cq in cqs.values():
            await controller.poll(ctx, cq)
        assert rig.now < end, f"commands do not end (seed {rig.seed})"


async def until(ctx: Any, rig: Rig, condition: Callable[[], bool], cycles: int = 4000) -> None:
    """Wait for a condition, in bounded time."""
    end = rig.now + cycles
    while not condition():
        await ctx.tick()
        assert rig.now < end, f"it does not come to that (seed {rig.seed})"
