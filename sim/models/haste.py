"""What makes the root complex of cocotbext-pcie faster and changes nothing that it does.

Each hop of a TLP asks dozens of times for its type and for what that type belongs to, and both
take an enumeration's way through Python. An idle transmitter waits in three tasks, one for each
reason to go on; each packet on a lane has a task of its own while it is under way, and each of a
port's timers one for each time that it runs.
"""

from collections import deque
from collections.abc import Callable

import cocotb
from cocotb.triggers import Event, Timer
from cocotb.utils import get_sim_time
from cocotbext.pcie.core import port
from cocotbext.pcie.core.tlp import Tlp, TlpType, tlp_type_fc_type_mapping

__all__ = ["hasten"]


class _Reason(Event):
    """Sets another event with itself."""

    def __init__(self, wake: Event) -> None:
        super().__init__()
        self._wake = wake

    def set(self, data: object = None) -> None:
        super().set(data)
        self._wake.set()


class _Flight:
    """What is under way from a port to its other end, in order.

    Parameters
    ----------
    link
        The port.
    """

    def __init__(self, link: port.SimPort) -> None:
        self._link = link
        self._packets: deque[tuple[int, object]] = deque()
        self._started = Event()
        cocotb.start_soon(self._run())

    def start(self, packet) -> None:
        """A packet's last symbol has left."""
        self._packets.append((get_sim_time() + max(self._link.link_delay_steps, 1), packet))
        self._started.set()

    async def _run(self) -> None:
        while True:
            while self._packets:
                due, packet = self._packets.popleft()
                await Timer(max(due - get_sim_time(), 1), "step")
                await self._link.other.ext_recv(packet)
            self._started.clear()
            await self._started.wait()


class _Alarm:
    """Sets a reason some time after it was wound up; it is wound up once at a time.

    Parameters
    ----------
    link
        The port: its ``max_latency_timer_steps`` are the time.
    ring
        Called then.
    """

    def __init__(self, link: port.Port, ring: Callable[[], None]) -> None:
        self._link, self._ring = link, ring
        self._wound = Event()
        cocotb.start_soon(self._run())

    def wind(self) -> None:
        """Start, unless it runs."""
        self._wound.set()

    async def _run(self) -> None:
        while True:
            await self._wound.wait()
            await Timer(max(self._link.max_latency_timer_steps, 1), "step")
            self._wound.clear()
            self._ring()


def hasten() -> None:
    """Change the classes of cocotbext-pcie, once."""
    classes = list(tlp_type_fc_type_mapping.items())
    # Members compare by identity: they may hash by it.
    TlpType.__hash__ = object.__hash__
    tlp_type_fc_type_mapping.clear()
    tlp_type_fc_type_mapping.update(classes)
    types = {each.value: each for each in TlpType}
    Tlp.fmt_type = property(lambda tlp: types[tlp.fmt, tlp.type], Tlp.fmt_type.fset)

    make = port.Port.__init__

    def _make(self, *args, **kwargs) -> None:
        make(self, *args, **kwargs)
        self.send_ack, self.send_fc = (_Reason(self.tx_queue_sync) for _ in range(2))
        self._flight = _Flight(self)
        self.start_fc_update_timer = _Alarm(self, self.send_fc.set).wind
        for state in self.fc_state:
            state.start_fc_update_timer = self.start_fc_update_timer
        # No TLP is lost or doubled here, after which a port would stop this timer.
        self.start_ack_latency_timer = _Alarm(self, self.send_ack.set).wind

    async def _handle_tx(self, packet) -> None:
        seconds = packet.get_wire_size() * self.symbol_period
        await Timer(max(int(seconds * self.time_scale), 1), "step")
        self._flight.start(packet)

    port.Port.__init__ = _make
    # A transmitter looks at all reasons again when it goes on, and each now sets the first.
    port.First = lambda wake, *_reasons: wake
    port.SimPort.handle_tx = _handle_tx
