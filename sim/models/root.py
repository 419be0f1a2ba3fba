"""A root complex in front of the card's transaction layer.

cocotbext-pcie's ``RootComplex`` is the host; its ``SimPort`` has the timing of a lane and
the data link layer's flow control. ``CardLink`` is the card's end of that lane: it takes
packed TLPs from the card's ``LinkPort`` to the root complex and back, byte for byte, hands
credits over both ways, and asserts what a link partner can see of the rules that the card
must keep when it sends. ``Root`` is both, joined.

A TLP reaches the card when its last symbol has arrived, and leaves when its last beat has
been taken: the model stores and forwards where a link layer would cut through.
"""

import heapq
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

import cocotb
from amaranth.lib import data
from cocotb.triggers import Event, First, Timer
from cocotb.utils import get_sim_time
from cocotbext.pcie.core import RootComplex
from cocotbext.pcie.core.port import SimPort
from cocotbext.pcie.core.tlp import CplStatus, Tlp, TlpType
from cocotbext.pcie.core.utils import PcieId

from niter.pcie.tl.header import MessageCode
from niter.pcie.tl.header import TlpType as HeaderType
from niter.pcie.tl.layouts import Credits
from sim.models.haste import hasten
from sim.models.slot import Observer, SlotSink, SlotSource
from sim.models.streams import Packet, PacketSink, PacketSource, Stalls

hasten()

__all__ = ["CardLink", "Grants", "Message", "Perturbation", "Root"]

_COMPLETIONS = {TlpType.CPL, TlpType.CPL_DATA}
_READS = {TlpType.MEM_READ, TlpType.MEM_READ_64}
_MEMORY = _READS | {TlpType.MEM_WRITE, TlpType.MEM_WRITE_64}
#: Offset and range of each counter in ``Credits``.
_COUNTERS = tuple((field.offset, 1 << field.width) for _, field in data.Layout.cast(Credits))
#: Packets of one stream that wait for the wire before it is stopped.
_DEPTH = 2
_CLASSES = ("ph", "pd", "nph", "npd", "cplh", "cpld")
#: Where a port keeps when its next update of a class is due.
_UPDATES = {name: f"next_fc_{name.rstrip('hd')}_tx" for name in _CLASSES}


def _counts(bits: int) -> list[int]:
    """The counters of ``Credits``."""
    return [bits >> at & (size - 1) for at, size in _COUNTERS]


@dataclass(frozen=True)
class Message:
    """A message that the card has sent."""

    requester: PcieId
    code: MessageCode


@dataclass
class Perturbation:
    """What goes wrong with completions on their way to the card. All are off by default.

    Parameters
    ----------
    rng
        Where chances come from.
    delay_ns
        Bounds of a uniformly distributed delay of each completion. Completions of different
        tags may overtake each other, those of one tag do not.
    poison, unsupported, abort, lost
        Probability that a completion carries EP, is replaced by Unsupported Request or by
        Completer Abort (and is the request's last), or never arrives.
    stray
        Probability that a completion is followed by one with a tag from 128 up, which the
        card does not use.
    """

    rng: Random
    delay_ns: tuple[float, float] = (0.0, 0.0)
    poison: float = 0.0
    unsupported: float = 0.0
    abort: float = 0.0
    lost: float = 0.0
    stray: float = 0.0


class Grants:
    """Credits that a bench gives to the card. The root port has more than these.

    Attributes
    ----------
    limits
        Granted in total: headers and data of posted, non-posted and completion TLPs.
    show
        Called when they have changed; set by the link.
    """

    def __init__(self, limits: Sequence[int]) -> None:
        self.limits = list(limits)
        self.show: Callable[[], None] = lambda: None

    def add(self, index: int, amount: int) -> None:
        """Grant more."""
        self.limits[index] += amount
        self.show()


@dataclass(order=True)
class _Held:
    """A TLP on its way to the card."""

    due: float
    order: int
    data: bytes = field(compare=False)


class _ShallowSink(PacketSink):
    """Stops taking beats when ``_DEPTH`` packets wait for the wire."""

    def _push(self, item: Packet) -> None:
        super()._push(item)
        if self.waiting >= _DEPTH:
            self.pause()

    async def recv(self) -> Packet:
        packet = await super().recv()
        self.resume()
        return packet


class CardLink(SimPort):
    """The card's end of a lane. Make it when the card's reset is over.

    Parameters
    ----------
    dut
        The design.
    link
        Name of its ``LinkPort``; the other names follow from it.
    generation
        1 is 2.5 GT/s, 2 is 5 GT/s.
    rx, tx, up, limit, infinite, allocated
        Names of the signals and streams, where they are not members of ``link``. ``tx`` may
        be several streams, for a half of a transaction layer; a name of None is left alone.
    slot
        The design is a ``Cabled`` card: TLPs pass whole, and ``rx`` and ``tx`` do not matter.
    rx_stalls, tx_stalls
        Pauses between beats; see ``sim.models.streams``.
    latency_ns
        Added to each completion: the host's memory takes its time.
    perturbation
        Or None.
    grants
        Credits that the card sees, if not those that the root port grants.
    """

    def __init__(
        self,
        dut,
        link: str = "link",
        *,
        generation: int = 1,
        rx: str | None = None,
        tx: Sequence[str] = (),
        up: str | None = None,
        limit: str | None = None,
        infinite: str | None = None,
        allocated: str | None = None,
        slot: bool = False,
        rx_stalls: Stalls | None = None,
        tx_stalls: Callable[[], Stalls] | None = None,
        latency_ns: float = 0.0,
        perturbation: Perturbation | None = None,
        grants: Grants | None = None,
    ) -> None:
        self._allocated = getattr(dut, allocated or f"{link}__allocated")
        self._limit = getattr(dut, limit or f"{link}__limit", None)
        self._infinite = getattr(dut, infinite or f"{link}__infinite", None)
        self._up = getattr(dut, up or f"{link}__up")
        self._granted = _counts(int(self._allocated.value))
        super().__init__(fc_init=[self._granted] * 8)
        self.max_link_speed = generation
        self.max_link_width = 1
        self.rx_handler = self._receive
        #: Messages that the card has sent, in order.
        self.messages: list[Message] = []
        #: Limits that the card must keep, in bytes.
        self.max_payload, self.max_read_request = 128, 512
        #: TLPs and payload bytes that the card has sent and received.
        self.sent = self.received = self.sent_bytes = self.received_bytes = 0
        #: Called with each TLP that the card sends, before it goes on the wire.
        self.observer: Callable[[Tlp], None] | None = None
        self.latency_ns = latency_ns
        self.perturbation = perturbation
        self._grants = grants
        if grants is not None:
            grants.show = self._show_limits
        if slot:
            self._source, sinks = SlotSource(dut, "spread"), [SlotSink(dut, "gather", _DEPTH)]
            self._slot = (self._source, *sinks)
        else:
            self._source = PacketSource(dut, rx or f"{link}__rx", stalls=rx_stalls)
            sinks = [
                _ShallowSink(dut, name, stalls=tx_stalls() if tx_stalls else None)
                for name in tx or (f"{link}__tx",)
            ]
        self._held: list[_Held] = []
        self._wake = Event()
        self._order = count()
        #: Completions of one tag keep their order.
        self._due: defaultdict[int, float] = defaultdict(float)
        self._dead: set[int] = set()
        self._shown: int | None = None
        self._up.value = 0
        cocotb.start_soon(self._announce())
        cocotb.start_soon(self._grant())
        cocotb.start_soon(self._release())
        for sink in sinks:
            cocotb.start_soon(self._transmit_from(sink))

    def inject(self, data: bytes, error: bool = False) -> None:
        """Give the card a TLP that the root complex did not send.

        It arrives at once and takes no credits: for TLPs that the card must discard. Requests
        that it must take are sent by the root complex, which waits for credits.
        """
        self._source.put(Packet(bytes(data), error))

    def watch(self, received: Observer | None = None, sent: Observer | None = None) -> None:
        """Call these with each TLP that passes the slot; None ends it."""
        source, sink = self._slot
        source.observer, sink.observer = received, sent

    # The data link layer's side.

    def handle_dllp(self, dllp) -> None:
        """Take note of credits that the root port grants."""
        super().handle_dllp(dllp)
        self._show_limits()

    def _show_limits(self) -> None:
        if self._limit is None:
            return
        state = self.fc_state[0]
        channels = [getattr(state, name) for name in _CLASSES]
        limits = [channel.tx_credit_limit for channel in channels]
        infinite = sum(c.tx_is_infinite() << i for i, c in enumerate(channels))
        if self._grants is not None:
            limits, infinite = self._grants.limits, 0
        value = sum(n % size << at for n, (at, size) in zip(limits, _COUNTERS, strict=True))
        if value != self._shown:
            self._shown = value
            self._limit.value = value
            self._infinite.value = infinite

    async def _announce(self) -> None:
        await self.fc_state[0].initialized.wait()
        self._show_limits()
        self._up.value = 1

    async def _grant(self) -> None:
        """Tell the root port of credits that the card has freed."""
        while True:
            await self._allocated.value_change
            now = _counts(int(self._allocated.value))
            state = self.fc_state[0]
            for name, total, before, (_, size) in zip(
                _CLASSES, now, self._granted, _COUNTERS, strict=True
            ):
                if total != before:
                    getattr(state, name).rx_release_fc((total - before) % size)
                    setattr(state, _UPDATES[name], 0)
            self._granted = now
            self.start_fc_update_timer()

    # From the root complex to the card.

    async def _receive(self, tlp: Tlp) -> None:
        self.received += 1
        self.received_bytes += len(tlp.data)
        if tlp.fmt_type not in _COMPLETIONS:
            self._source.put(bytes(tlp.pack()))
            return
        now = get_sim_time("ns")
        for completion, due in self._perturb(tlp, now + self.latency_ns):
            due = max(due, self._due[completion.tag])
            self._due[completion.tag] = due
            if due <= now and not self._held:
                self._source.put(bytes(completion.pack()))
            else:
                heapq.heappush(self._held, _Held(due, next(self._order), bytes(completion.pack())))
                self._wake.set()

    def _perturb(self, tlp: Tlp, due: float) -> list[tuple[Tlp, float]]:
        """What arrives in place of a completion, and when."""
        if self.perturbation is None:
            return [(tlp, due)]
        p, rng = self.perturbation, self.perturbation.rng
        due += rng.uniform(*p.delay_ns)
        out = []
        if tlp.tag not in self._dead:
            chance = rng.random()
            if chance < p.lost:
                self._dead.add(tlp.tag)
            elif chance < p.lost + p.unsupported + p.abort:
                self._dead.add(tlp.tag)
                aborted = chance < p.lost + p.abort
                status = CplStatus.CA if aborted else CplStatus.UR
                failed = Tlp(tlp)
                failed.fmt_type = TlpType.CPL
                failed.status, failed.length, failed.data = status, 0, b""
                out.append((failed, due))
            else:
                tlp.ep = bool(tlp.data) and rng.random() < p.poison
                out.append((tlp, due))
        if rng.random() < p.stray:
            stray = Tlp(tlp)
            stray.tag = rng.randrange(128, 256)
            out.append((stray, due))
        return out

    async def _release(self) -> None:
        """Give the card the TLPs that were held back, each at its time."""
        while True:
            self._wake.clear()
            if not self._held:
                await self._wake.wait()
                continue
            wait = self._held[0].due - get_sim_time("ns")
            if wait > 0:
                await First(self._wake.wait(), Timer(max(wait, 0.001), "ns", round_mode="ceil"))
            else:
                self._source.put(heapq.heappop(self._held).data)

    # From the card to the root complex.

    async def _transmit_from(self, sink: PacketSink | SlotSink) -> None:
        while True:
            packet = await sink.recv()
            assert not packet.error, f"the card sent a TLP to be discarded: {packet.data.hex()}"
            tlp = self._parse(packet.data)
            assert self.fc_state[0].tx_tlp_has_credit(tlp), f"no credits for {tlp!r}"
            self.sent += 1
            self.sent_bytes += len(tlp.data)
            if self.observer is not None:
                self.observer(tlp)
            await self.send(tlp)

    def _parse(self, data: bytes) -> Tlp:
        """Unpack a TLP of the card; an assertion fails where it breaks a rule."""
        if data[0] & 0x10:
            return self._parse_message(data)
        tlp = Tlp.unpack(data)
        assert tlp.pack() == data, f"reserved fields are not zero: {data.hex()}"
        assert tlp.check(), repr(tlp)
        assert not tlp.td and not tlp.ep, repr(tlp)
        assert len(tlp.data) <= self.max_payload, f"payload beyond {self.max_payload}: {tlp!r}"
        if tlp.fmt_type in _MEMORY:
            self._check_request(tlp)
        if tlp.fmt_type in _READS:
            assert tlp.length * 4 <= self.max_read_request, repr(tlp)
            self._dead.discard(tlp.tag)
        return tlp

    def _check_request(self, tlp: Tlp) -> None:
        """Rules of section 2.2.5 and 2.2.7 for memory requests."""
        four = tlp.fmt_type in {TlpType.MEM_READ_64, TlpType.MEM_WRITE_64}
        assert four == (tlp.address >> 32 != 0), f"format does not fit the address: {tlp!r}"
        assert (tlp.last_be == 0) == (tlp.length == 1), f"byte enables: {tlp!r}"
        if tlp.length > 1:
            assert tlp.first_be, f"byte enables: {tlp!r}"
        if tlp.length > 2 or (tlp.length == 2 and tlp.address & 4):
            assert tlp.first_be in (0xF, 0xE, 0xC, 0x8), f"byte enables: {tlp!r}"
            assert tlp.last_be in (0xF, 0x7, 0x3, 0x1), f"byte enables: {tlp!r}"

    def _parse_message(self, data: bytes) -> Tlp:
        """The root complex has no codec for messages: it routes a header without one.

        Code and requester travel in it as byte enables and requester ID, which it does not look at.
        """
        assert data[0] in (0x30 | HeaderType.MESSAGE_TO_ROOT & 7, 0x30 | 5) and len(data) == 16, (
            f"not a message that an endpoint sends: {data.hex()}"
        )
        assert data[1:4] == bytes(3) and data[6] == 0 and data[8:] == bytes(8), data.hex()
        tlp = Tlp()
        tlp.fmt_type = TlpType.MSG_TO_RC
        tlp.requester_id = PcieId.from_int(int.from_bytes(data[4:6], "big"))
        self.messages.append(Message(tlp.requester_id, MessageCode(data[7])))
        return tlp


class Root:
    """A root complex, one lane and the card at its end.

    Parameters
    ----------
    dut, options
        As for ``CardLink``.
    max_payload
        Of the root complex and its port, in bytes: 128 or 256.

    Attributes
    ----------
    rc : RootComplex
    port
        Its root port.
    link : CardLink
    """

    def __init__(self, dut, *, max_payload: int = 128, **options) -> None:
        logging.getLogger("cocotb.pcie").setLevel(logging.WARNING)
        self.rc = RootComplex()
        self.rc.max_payload_size = self.rc.max_payload_size_supported = max_payload.bit_length() - 8
        self.port = self.rc.make_port()
        self.link = CardLink(dut, **options)
        self.link.max_payload = max_payload
        self.port.downstream_port.max_link_speed = self.link.max_link_speed
        self.port.downstream_port.max_link_width = 1
        self.port.connect(self.link)
        self._receive = self.port.downstream_port.rx_handler
        self.port.downstream_port.rx_handler = self._route

    async def _route(self, tlp: Tlp) -> None:
        """The root complex cannot route messages; the link has noted them already."""
        if tlp.fmt_type == TlpType.MSG_TO_RC:
            tlp.release_fc()
        else:
            await self._receive(tlp)

    async def enumerate(self) -> list:
        """Wait for the link, find and configure the functions; returns cocotbext's devices."""
        await self.link.fc_state[0].initialized.wait()
        await self.rc.enumerate(timeout=20_000)
        bus = self.rc.host_bridge.bus.children[0]
        return bus.devices
