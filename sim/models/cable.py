"""Ethernet cables of a whole card: GMII by the chunk, since Python takes longer to look at each
octet than the model of the card to make it.

The octets are what the card sends and gets, preamble and FCS included; cocotbext-eth's frames say
what they mean.
"""

import cocotb
from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.clock import Clock
from cocotb.queue import Queue
from cocotb.triggers import Event
from cocotb.utils import get_sim_time
from cocotbext.eth import GmiiFrame

from niter.net.mac import GmiiReceive, GmiiTransmit
from sim.harness import Capture

__all__ = ["CHUNK", "Feed", "Gather", "Wire", "release_wires", "start_wires"]

#: Octets of a chunk.
CHUNK = 64
#: Octets of the gap between two frames.
_GAP = 12
_OCTET_NS = 8
#: The start delimiter is the last octet of the preamble.
_DELIMITER = 7


class Feed(wiring.Component):
    """Chunks become octets on a card's receive half. Clock domain ``gmii``.

    A chunk is taken when ``flag`` differs from ``taken``, which then follows it; the next one may
    be there at once. Between chunks of one frame there is no pause if the next one comes in time.

    Members
    -------
    octets : In(8 * CHUNK), count : In(range(CHUNK + 1)), gap : In(range(16))
        Octets, first one lowest, how many of them count, and the idle octet times behind them.
    flag : In(1), taken : Out(1)
        See above.
    idle : Out(1)
        Nothing is being sent.
    gmii : In(GmiiReceive)
        The card.
    """

    octets: In(8 * CHUNK)
    count: In(range(CHUNK + 1))
    gap: In(range(16))
    flag: In(1)
    taken: Out(1)
    gmii: In(GmiiReceive)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        octets = Signal(8 * CHUNK)
        left, gap = Signal(range(CHUNK + 1)), Signal(range(16))
        m.d.comb += [self.gmii.dv.eq(left != 0), self.gmii.d.eq(octets[:8])]
        with m.If(left != 0):
            m.d.gmii += [octets.eq(octets >> 8), left.eq(left - 1)]
        with m.Elif(gap != 0):
            m.d.gmii += gap.eq(gap - 1)
        ends = ((left == 1) & (gap == 0)) | ((left == 0) & (gap <= 1))
        with m.If(ends & (self.flag != self.taken)):
            m.d.gmii += [
                octets.eq(self.octets),
                left.eq(self.count),
                gap.eq(self.gap),
                self.taken.eq(self.flag),
            ]
        return m


class Gather(wiring.Component):
    """Octets on a card's transmit half become chunks. Clock domain ``gmii``.

    ``flag`` changes with each chunk: when it is full, and when the frame has ended, which leaves
    none or less than a full one.

    Members
    -------
    gmii : In(GmiiTransmit)
        The card.
    octets : Out(8 * CHUNK), count : Out(range(CHUNK + 1))
        Octets, first one lowest, and how many of them count.
    last, error : Out(1)
        The frame has ended; its error signal was high in this chunk.
    flag : Out(1)
        See above.
    """

    gmii: In(GmiiTransmit)
    octets: Out(8 * CHUNK)
    count: Out(range(CHUNK + 1))
    last: Out(1)
    error: Out(1)
    flag: Out(1)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        octets = Signal(8 * CHUNK)
        count = Signal(range(CHUNK))
        inside, error = Signal(), Signal()
        seen = error | (self.gmii.en & self.gmii.er)
        m.d.gmii += inside.eq(self.gmii.en)
        full = self.gmii.en & (count == CHUNK - 1)
        ended = inside & ~self.gmii.en
        with m.If(self.gmii.en):
            m.d.gmii += [
                octets.word_select(count, 8).eq(self.gmii.d),
                count.eq(count + 1),
                error.eq(seen),
            ]
        with m.If(full | ended):
            m.d.gmii += [
                self.octets.eq(octets),
                self.count.eq(count + full),
                self.last.eq(ended),
                self.error.eq(seen),
                self.flag.eq(~self.flag),
                count.eq(0),
                error.eq(0),
            ]
        with m.If(full):
            m.d.gmii += self.octets.eq(Cat(octets[:-8], self.gmii.d))
        return m


def start_wires(dut) -> None:
    """Start the clock of the cables and hold their reset; before the card's own clock."""
    dut.gmii_rst.value = 1
    Clock(dut.gmii_clk, _OCTET_NS, unit="ns").start()


def release_wires(dut) -> None:
    """End the reset of the cables; with that of the card."""
    dut.gmii_rst.value = 0


class Wire:
    """One port's cable: frames in and out, each written into the capture.

    Parameters
    ----------
    dut, number
        Which port of a ``sim.models.cabled.Cabled`` card.
    capture
        Or None.
    """

    def __init__(self, dut, number: int, capture: Capture | None) -> None:
        self._name = f"wire{number}"
        self._capture = capture
        names = ("octets", "count", "gap", "flag", "taken")
        self._feed = [getattr(dut, f"feed{number}__{name}") for name in names]
        names = ("octets", "count", "last", "error", "flag")
        self._gather = [getattr(dut, f"gather{number}__{name}") for name in names]
        self._to_card: Queue[bytes] = Queue()
        self._idle = Event()
        self._idle.set()
        self._sent: Queue[tuple[GmiiFrame, bool, float]] = Queue()
        #: Time of the last start delimiter that the card sent, in nanoseconds.
        self.sfd_ns = 0.0
        cocotb.start_soon(self._feed_card())
        cocotb.start_soon(self._gather_frames())

    @property
    def waiting(self) -> int:
        """Frames that the card has sent and nobody has taken."""
        return self._sent.qsize()

    async def recv(self) -> bytes:
        """The next frame that the card sends, without FCS, which must be right."""
        frame, error, self.sfd_ns = await self._sent.get()
        assert frame.check_fcs() and not error, "the card sent a bad frame"
        data = bytes(frame.get_payload())
        if self._capture:
            self._capture.write(self._name, data, self.sfd_ns, outbound=True)
        return data

    async def send(self, data: bytes) -> None:
        """Queue a frame for the card."""
        if self._capture:
            self._capture.write(self._name, data, get_sim_time("ns"))
        self._idle.clear()
        await self._to_card.put(bytes(GmiiFrame.from_payload(data)))

    async def idle(self) -> None:
        """Wait until the last octet of what is queued has been taken for the card."""
        await self._idle.wait()

    async def _feed_card(self) -> None:
        octets, count, gap, flag, taken = self._feed
        level = 0
        while True:
            if self._to_card.empty():
                self._idle.set()
            frame = await self._to_card.get()
            for at in range(0, len(frame), CHUNK):
                chunk = frame[at : at + CHUNK]
                level ^= 1
                octets.value = int.from_bytes(chunk, "little")
                count.value = len(chunk)
                gap.value = _GAP if at + CHUNK >= len(frame) else 0
                flag.value = level
                await taken.value_change

    async def _gather_frames(self) -> None:
        octets, count, last, error, flag = self._gather
        frame, failed, began = bytearray(), False, 0.0
        while True:
            await flag.value_change
            if not frame:
                # The first chunk is a full one: no frame is shorter.
                began = get_sim_time("ns") - (CHUNK - 1 - _DELIMITER) * _OCTET_NS
            frame += int(octets.value).to_bytes(CHUNK, "little")[: int(count.value)]
            failed |= bool(int(error.value))
            if int(last.value):
                self._sent.put_nowait((GmiiFrame(frame), failed, began))
                frame, failed = bytearray(), False
