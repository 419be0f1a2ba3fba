"""Random overlapping requests over a relay that drops, delays, reorders and doubles frames.

``python -m sim.storage.aoe.relay --requests 100000`` is the long run of ``make soak``. Times are
scaled for simulation: a frame takes 200 cycles, or up to 3,200 when it is delayed, and the lifetime
that the card is told is no less than both ways of that.
"""

import sys
from collections.abc import Iterator
from random import Random

import click

from niter.interface import SECTOR_BYTES, BlockOpcode, BlockStatus
from niter.storage.aoe.engine import TICK
from sim.models.aoe import AoeTarget, Impairment, Network
from sim.storage.aoe.station import Request, Station

__all__ = ["PROBABILITIES", "Relay", "run"]

#: Of each of the relay's faults, by turns.
PROBABILITIES = (0.001, 0.01, 0.05, 0.2)

_USUAL, _LONGEST = 200, 3000
#: Both ways, in ticks of the card.
_LIFETIME = -(-2 * (_USUAL + _LONGEST) // TICK)
#: Ticks until a target counts as gone. A frame whose copies are lost one after the other, as one in
#: a thousand is at the highest probability, waits for 255 times what an answer usually takes.
_SILENCE = 100_000
#: Sectors of the disk that are used: few, so that requests meet.
_SECTORS, _MOST = 64, 12


class Relay:
    """A station, its target, and a network between them.

    Parameters
    ----------
    seed
        Of everything.
    probability
        Of each fault, for each frame.
    """

    def __init__(self, seed: int, probability: float):
        self.rng = rng = Random(seed)
        self.target = AoeTarget(
            7, 3, "02:00:00:00:00:07", bytearray(rng.randbytes(512 * SECTOR_BYTES)), sectors=4
        )
        self.network = Network(
            rng,
            Impairment(
                drop=probability,
                delay=probability,
                double=probability,
                usual=_USUAL,
                longest=_LONGEST,
            ),
        )
        self.station = Station(self._send, seed=seed)
        self.station.set_up(lifetime=_LIFETIME, silence=_SILENCE, seed=rng.randrange(1 << 24))
        self.station.attach(0, 0, self.target)
        #: What the disk has to hold.
        self.disk = bytearray(self.target.disk)
        self._busy: list[Request] = []

    def _send(self, frame: bytes) -> None:
        self.network.send(self.station.now, frame, self._at_target)

    def _at_target(self, frame: bytes) -> None:
        answer = self.target.answer(frame)
        if answer is not None:
            self.network.send(self.station.now, answer, self.station.receive)

    def turn(self) -> None:
        """Run until something happens."""
        due = self.network.next_due()
        # What enters meanwhile leaves no sooner than by the usual delay.
        wait = _USUAL if due is None else min(_USUAL, due - self.station.now)
        if wait > 0:
            self.station.run(wait)
        self.network.deliver(self.station.now)

    def _draw(self) -> Request | None:
        """A request that overlaps no write in flight: a host that does that gets either."""
        rng = self.rng
        sectors = rng.randint(1, _MOST)
        lba = rng.randrange(_SECTORS - sectors)
        opcode = rng.choice(
            [BlockOpcode.READ] * 4 + [BlockOpcode.WRITE] * 4 + [BlockOpcode.WRITE_ZEROES]
        )
        reads = opcode == BlockOpcode.READ
        for other in self._busy:
            apart = other.lba >= lba + sectors or lba >= other.lba + other.sectors
            if not apart and not (reads and other.opcode == BlockOpcode.READ):
                return None
        request = Request(opcode, lba=lba, sectors=sectors, fua=rng.random() < 0.02)
        at = slice(lba * SECTOR_BYTES, (lba + sectors) * SECTOR_BYTES)
        if opcode == BlockOpcode.WRITE:
            request.memory[:] = rng.randbytes(sectors * SECTOR_BYTES)
            self.disk[at] = request.memory
        elif opcode == BlockOpcode.WRITE_ZEROES:
            self.disk[at] = bytes(sectors * SECTOR_BYTES)
        request.expected = bytes(self.disk[at])
        return request

    def load(self, requests: int, *, at_once: int = 40) -> None:
        """Issue so many requests, and check each; at the end, the disk."""
        issued = ended = 0
        heard = self.station.now
        while ended < requests:
            for request in [busy for busy in self._busy if busy.status is not None]:
                self._busy.remove(request)
                ended += 1
                heard = self.station.now
                assert request.status == BlockStatus.OK, (request.opcode, request.status)
                if request.opcode == BlockOpcode.READ:
                    assert request.memory == request.expected, (request.lba, request.sectors)
            if issued < requests and len(self._busy) < at_once:
                request = self._draw()
                if request is not None:
                    self._busy.append(request)
                    self.station.issue(request)
                    issued += 1
            self.turn()
            assert self.station.now - heard < 2 * _SILENCE * TICK, "a request is lost"
        assert not self.station.open
        # Nothing ends again when the last frames come, and no late copy changes the disk.
        for _ in range(100):
            self.turn()
        assert self.target.disk == self.disk


def run(requests: int, seed: int = 1) -> Iterator[str]:
    """Share requests among the probabilities; gives a line for each, as it ends."""
    for probability in PROBABILITIES:
        relay = Relay(seed, probability)
        relay.load(requests // len(PROBABILITIES))
        counted, network = relay.station.counters(), relay.network
        assert not counted["silent"]
        # Where faults are rare, a short run has none.
        assert probability < 0.01 or (network.lost and network.delayed and network.doubled)
        assert probability < 0.01 or (counted["repeated"] and counted["late"])
        yield (
            f"{probability:6.1%}: {requests // len(PROBABILITIES)} requests, {relay.station.now} "
            f"cycles; frames lost {network.lost}, delayed {network.delayed}, doubled "
            f"{network.doubled}; {counted}"
        )
        relay.station.close()


@click.command()
@click.option("--requests", default=100_000, show_default=True)
@click.option("--seed", envvar="NITER_SEED", default=1, show_default=True)
def main(requests: int, seed: int) -> None:
    """Run random requests over a bad relay."""
    for line in run(requests, seed):
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
