"""Random traffic, resets and faults on a running card, for as long as one likes.

A round without resets ends with a balance: every frame that a driver offered or the station sent
has arrived, byte for byte and once, or is in a counter of what was dropped. In a round with resets
and faults frames may be lost; none may be damaged, doubled or invented, and the next round must
find a card that works.
"""

import random
import time
from collections import Counter
from collections.abc import Callable

from .books import MARK, Books, SoakError, balance, counters
from .card import RunningCard
from .client import Client, Memory
from .driver import DriverError, NetDriver
from .station import Station, udp_frame

__all__ = ["Soak"]

_BASE = 0x1_0000_0000
#: Cycles without any frame after which nothing is expected any more.
_QUIET = 40_000
_LENGTHS = (18, 19, 22, 26, 63, 64, 65, 120, 470, 1002, 1471, 1472)
_PATIENCE_S = 120.0


class Soak:
    """Plays hosts and wire of a card.

    Parameters
    ----------
    card
        Running, with the station's wire on port 0.
    station
        Its far end.
    seed
        Every round's own randomness is made from it and the round's number.
    """

    def __init__(self, card: RunningCard, station: Station, seed: int):
        self.card, self.station, self.seed = card, station, seed
        self.rounds = 0
        self.totals: Counter[str] = Counter()
        self._pairs = card.config.card.pairs
        self._serial = 0
        self._drivers: list[NetDriver] = []
        self._memories: list[Memory] = []
        for path in card.sockets:
            memory = Memory(NetDriver.size(self._pairs))
            client = Client(path)
            if client.map(_BASE, memory.size, memory.fd):
                raise SoakError("memory is refused")
            self._memories.append(memory)
            self._drivers.append(NetDriver(client, memory, _BASE, self._pairs))

    def close(self) -> None:
        """Let go of the card."""
        for driver, memory in zip(self._drivers, self._memories, strict=True):
            driver.client.socket.close()
            memory.close()

    def round(self) -> None:
        """One round.

        Raises
        ------
        SoakError
            With the round's number and the seed.
        """
        self.rounds += 1
        self._random = random.Random(f"{self.seed}/{self.rounds}")
        faulty = self._random.random() < 0.4
        try:
            self._begin()
            sent, received = Books(), Books()
            before = counters(self.card)
            for _ in range(self._random.randint(1, 12)):
                self._traffic(sent, received)
                if faulty:
                    self._fault()
            self._drain(sent, received)
            if not faulty:
                balance(before, counters(self.card), sent, received)
            status = self.card.control.status()
            if status["violations"] or status["timeouts"]:
                raise SoakError(f"the link: {status}")
        except (SoakError, DriverError, ValueError) as error:
            text = self.card.log.read_text()[-2000:]
            raise SoakError(f"round {self.rounds} of seed {self.seed}: {error}\n{text}") from error
        self.totals["faulty rounds"] += faulty
        self.totals["frames sent"] += sent.offered
        self.totals["frames received"] += received.arrived

    def _begin(self) -> None:
        """Drivers come up anew, each its own way."""
        self.card.control.command(f"fault stall {self._random.choice((0, 2, 10, 40))}")
        for driver in self._drivers:
            pairs = self._random.randint(1, self._pairs)
            size = self._random.choice((16, 64, 256))
            driver.start(pairs, size, self._random.choice((256, 512, 1536, 2048)))

    def _traffic(self, sent: Books, received: Books) -> None:
        """A burst each way."""
        for number, driver in enumerate(self._drivers):
            frames = [self._outgoing(number, sent) for _ in range(self._random.randint(0, 30))]
            pair = self._random.randrange(len(driver.transmit))
            cut = self._random.choice((0, 0, 1, 12, 13, 30))
            end = time.monotonic() + _PATIENCE_S
            while frames:
                frames = driver.send(pair, frames, cut)
                self._collect(sent, received)
                if time.monotonic() > end:
                    raise SoakError(f"function {number} takes nothing from queue pair {pair}")
                if frames and driver.broken:
                    for _ in frames:
                        sent.offered -= 1
                    break
        for _ in range(self._random.choice((0, 5, 30, 150))):
            frame = self._incoming(received)
            while not self.station.send(frame):
                self._collect(sent, received)
        self._collect(sent, received)

    def _frame(self, books: Books, to: str, source: str, to_ip: str, source_ip: str) -> bytes:
        """A frame with a serial number in it."""
        self._serial += 1
        mark = self._serial.to_bytes(MARK, "big")
        length = self._random.choice((*_LENGTHS, self._random.randint(18, 1472))) - MARK
        data = mark + self._random.randbytes(length)
        books.offered += 1
        return udp_frame(to, source, to_ip, source_ip, self._random.randrange(1, 1 << 16), data)

    def _outgoing(self, number: int, sent: Books) -> bytes:
        """A frame of a guest's: usually one that may pass."""
        tenant = self.card.config.tenants[number]
        own, ip = tenant.address, tenant.addresses[0]
        to = self.card.config.peers[0].stations[0]
        kind = self._random.random()
        if kind < 0.05:
            own = "02:00:00:00:77:77"
        elif kind < 0.1:
            ip = "10.77.77.77"
        elif kind < 0.15:
            to = "02:00:00:00:66:66"
        frame = self._frame(sent, to, own, "10.0.0.99", ip)
        if kind < 0.15:
            sent.wrong += 1
        else:
            sent.expect(tenant.vni, frame)
        return frame

    def _incoming(self, received: Books) -> bytes:
        """A frame for a guest: usually one that may pass."""
        number = self._random.randrange(len(self._drivers))
        tenant = self.card.config.tenants[number]
        to, vni = tenant.address, tenant.vni
        kind = self._random.random()
        if kind < 0.05:
            vni = 0x777777
        elif kind < 0.1:
            to = "02:00:00:00:55:55"
        source = self.card.config.peers[0].stations[0]
        frame = self._frame(received, to, source, tenant.addresses[0], "10.0.0.99")
        wire = self.station.wrap(frame, vni, self._random.randrange(1, 1 << 16))
        if kind < 0.1:
            received.wrong += 1
        elif kind < 0.13:
            received.wrong += 1
            wire = wire[: self._random.randint(14, 60)] if kind < 0.12 else wire[:-4]
        else:
            received.expect(number, frame)
        return wire

    def _collect(self, sent: Books, received: Books) -> bool:
        """Take what has arrived at both ends; whether there was anything."""
        before = sent.arrived + received.arrived
        for frame in self.station.receive():
            sent.check(*self.station.unwrap(frame))
        for number, driver in enumerate(self._drivers):
            for frame in driver.received():
                received.check(number, frame)
        return sent.arrived + received.arrived != before

    def _fault(self) -> None:
        """Something goes wrong."""
        control, number = self.card.control, self._random.randrange(len(self._drivers))
        driver = self._drivers[number]
        faults: dict[str, Callable[[], object]] = {
            "refused reads": self._refuse,
            "held links": lambda: control.command(f"fault hold {self._random.randint(1, 5000)}"),
            "resets": lambda: self._restart(driver),
            "function resets": lambda: self._restart(driver, driver.client.ask, Client.RESET),
            "lost memory": lambda: self._lose_memory(number),
        }
        if self._random.random() < 0.02:
            faults["unanswered reads"] = self._silence
        name = self._random.choice([*faults])
        self.totals[name] += 1
        faults[name]()
        for each in self._drivers:
            if each.broken:
                self._restart(each)

    def _restart(self, driver: NetDriver, *first) -> None:
        if first:
            first[0](*first[1:])
        driver.start(self._random.randint(1, self._pairs), 64, 2048)

    def _refuse(self) -> None:
        """Reads are answered with Unsupported Request for a while, as far as there are any."""
        self.card.control.command(f"fault refuse {self._random.randint(1, 20)}")
        self._run(3000)
        self.card.control.command("fault refuse 0")

    def _silence(self) -> None:
        """Reads without an answer: the card gives up by itself, after its completion timeout."""
        cycles = 2 * self.card.config.card.completion_timeout
        self.card.control.command("fault silence 2")
        self._run(cycles)
        self.card.control.command("fault silence 0")
        for driver in self._drivers:
            self._restart(driver)

    def _lose_memory(self, number: int) -> None:
        """The host takes its memory away from under the driver, and brings it back."""
        driver, memory = self._drivers[number], self._memories[number]
        driver.client.unmap(_BASE, memory.size)
        self._run(2000)
        if driver.client.map(_BASE, memory.size, memory.fd):
            raise SoakError("memory is refused")
        self._restart(driver)

    def _run(self, cycles: int) -> None:
        """Let the card's clocks run."""
        control = self.card.control
        end = control.status()["cycles"] + cycles
        control.command(f"fault run {cycles}")
        NetDriver.wait(lambda: control.status()["cycles"] >= end, "the end of a wait", 600)

    def _drain(self, sent: Books, received: Books) -> None:
        """Until nothing comes any more."""
        self.card.control.command("fault refuse 0")
        self.card.control.command("fault stall 0")
        while True:
            self._collect(sent, received)
            self._run(_QUIET)
            if not self._collect(sent, received):
                break
        for number, driver in enumerate(self._drivers):
            if not driver.sent() and not driver.broken:
                raise SoakError(f"function {number}: frames are never taken from its queues")
