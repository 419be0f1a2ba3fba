"""The control bus over a serial line, until the card has a processor of its own."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

from niter import csr

__all__ = ["UartBridge"]

_READ, _WRITE, _WHAT = b"RW?"


class UartBridge(wiring.Component):
    """Masters a register bus as a host tells it to, at 8N1.

    ===========  ====================================  =================
    request      bytes, least significant first        answer
    ===========  ====================================  =================
    read         ``R``, 3 of word address              4 of data
    write        ``W``, 3 of word address, 4 of data   ``W``
    anything     any other first byte                  ``?``
    ===========  ====================================  =================

    A request that stops for ``patience`` cycles is forgotten, as is one that begins before
    the answer to the last is out, or has a byte without a stop bit: silence is what a host
    recovers with.

    Parameters
    ----------
    addr_width
        Of ``bus``, up to 24.
    divisor
        Cycles of a bit, from 4 up.
    patience
        Cycles, a power of two.

    Members
    -------
    rx : In(1), tx : Out(1)
        The line; ``rx`` may be asynchronous.
    bus : Out(csr.Signature)
        The register bus, of ``csr.SPAN_LATENCY``.
    """

    def __init__(self, *, addr_width: int, divisor: int, patience: int = 1 << 22):
        if addr_width > 24:
            raise ValueError(f"The address has up to 24 bits, not {addr_width}")
        if divisor < 4:
            raise ValueError(f"A bit takes 4 cycles at least, not {divisor}")
        self.divisor = divisor
        self.patience = patience
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "bus": Out(csr.Signature(addr_width=addr_width, latency=csr.SPAN_LATENCY)),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        byte, got = self._receive(m)
        answer, length, busy = self._transmit(m)
        waited = Signal(range(self.patience))
        count = Signal(range(8))
        write = Signal()
        address, data = Signal(24), Signal(32)
        # The access was made so many cycles ago and one.
        made = Signal(self.bus.latency)
        m.d.comb += [self.bus.addr.eq(address), self.bus.w_data.eq(data)]
        m.d.sync += [
            waited.eq(waited + 1),
            made.eq(Cat(self.bus.r_stb | self.bus.w_stb, made)),
        ]
        with m.If(got):
            m.d.sync += waited.eq(0)
        with m.FSM():
            with m.State("FIRST"):
                m.d.sync += count.eq(0)
                with m.If(got & ~busy):
                    m.d.sync += write.eq(byte == _WRITE)
                    with m.If((byte == _READ) | (byte == _WRITE)):
                        m.next = "REST"
                    with m.Else():
                        m.d.sync += [answer.eq(_WHAT), length.eq(1)]
            with m.State("REST"):
                with m.If(got):
                    m.d.sync += count.eq(count + 1)
                    with m.If(count < 3):
                        m.d.sync += address.eq(Cat(address[8:], byte))
                    with m.Else():
                        m.d.sync += data.eq(Cat(data[8:], byte))
                    with m.If(count == 2 + 4 * write):
                        m.next = "ACCESS"
                with m.Elif(waited == self.patience - 1):
                    m.next = "FIRST"
            with m.State("ACCESS"):
                m.d.comb += [self.bus.r_stb.eq(~write), self.bus.w_stb.eq(write)]
                m.next = "ANSWER"
            with m.State("ANSWER"), m.If(made[-1]):
                m.next = "FIRST"
                with m.If(write):
                    m.d.sync += [answer.eq(_WRITE), length.eq(1)]
                with m.Else():
                    m.d.sync += [answer.eq(self.bus.r_data), length.eq(4)]
        return m

    def _receive(self, m):
        """Bytes as they come: the byte, and a strobe when it is whole."""
        rx = Signal(init=1)
        m.submodules.rx_sync = cdc.FFSynchronizer(self.rx, rx, init=1)
        bits, timer = Signal(range(11)), Signal(range(self.divisor + self.divisor // 2))
        byte, got = Signal(8), Signal()
        m.d.sync += [got.eq(0), timer.eq(timer - 1)]
        with m.If(bits == 0):
            # From the start bit's edge to the middle of the bit behind it.
            m.d.sync += [
                timer.eq(self.divisor + self.divisor // 2 - 1),
                bits.eq(Mux(rx, 0, 10)),
            ]
        with m.Elif(bits == 1):
            # A line that stays low is no byte.
            m.d.sync += bits.eq(Mux(rx, 0, 1))
        with m.Elif(timer == 0):
            m.d.sync += [timer.eq(self.divisor - 1), bits.eq(bits - 1)]
            with m.If(bits == 2):
                m.d.sync += got.eq(rx)
            with m.Else():
                m.d.sync += byte.eq(Cat(byte[1:], rx))
        return byte, got

    def _transmit(self, m):
        """Sends ``length`` bytes of ``answer`` when it is not zero; returns both, and busy."""
        answer, length = Signal(32), Signal(3)
        frame, bits, timer = Signal(9), Signal(range(12)), Signal(range(self.divisor))
        busy = Signal()
        m.d.comb += busy.eq((length != 0) | (bits != 0))
        m.d.sync += timer.eq(timer - 1)
        with m.If(bits == 0):
            m.d.sync += [self.tx.eq(1), timer.eq(0)]
            with m.If(length != 0):
                m.d.sync += [
                    frame.eq(Cat(0, answer[:8])),
                    answer.eq(answer >> 8),
                    length.eq(length - 1),
                    # Start, eight, stop, and the stop bit's own time.
                    bits.eq(11),
                ]
        with m.Elif(timer == 0):
            m.d.sync += [
                self.tx.eq(frame[0]),
                frame.eq(Cat(frame[1:], 1)),
                timer.eq(self.divisor - 1),
                bits.eq(bits - 1),
            ]
        return answer, length, busy
