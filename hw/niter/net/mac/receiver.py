"""From octets on GMII to packets."""

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import crc, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below

from ..stage import add_carry
from .gmii import CONTROL_TYPE, GmiiReceive, Received, Status

__all__ = ["Receiver"]

#: Octets of the FCS, and of the shortest frame without it.
FCS = 4
SHORTEST = 60
#: Where MAC control frames are sent (IEEE 802.3, 31A), then (behind the source) type and opcode.
_ADDRESS = bytes.fromhex("0180c2000001")
_TYPE = CONTROL_TYPE.to_bytes(2, "big")
_PAUSE = (1).to_bytes(2, "big")
_TYPE_AT, _OPCODE_AT, _QUANTA_AT = 12, 14, 16


class Receiver(wiring.Component):
    """Takes frames off GMII, checks and strips the FCS (IEEE 802.3, clause 4).

    Its domain is the receive clock. Every frame that begins, comes out, with ``error`` set
    unless it is good; a frame that grows too long stops there. PAUSE frames set ``pause``
    and end as ``Status.CONTROL``, which is an error to those behind (31B). A frame's last
    beat leaves two cycles behind its last octet.

    Parameters
    ----------
    sums
        Take the sum of each frame's bytes.

    Members
    -------
    gmii : Out(GmiiReceive)
        The wire.
    o : Out(stream.Signature(Received))
        Frames without FCS. It must be ready always.
    enable : In(1)
        Take frames; looked at where a frame begins.
    longest : In(14)
        Longest frame, in octets without FCS.
    pause : Out(16)
        Pause quanta of the last PAUSE frame.
    pause_stb : Out(1)
        High for one cycle when ``pause`` is new.
    """

    gmii: Out(GmiiReceive)
    o: Out(stream.Signature(Received))
    enable: In(1)
    longest: In(14)
    pause: Out(16)
    pause_stb: Out(1)

    def __init__(self, *, sums: bool = False):
        self.sums = sums
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        begin = Signal()
        # Its own `start` could come with data, and that costs a multiplexer a bit.
        m.submodules.fcs = fcs = ResetInserter(begin)(
            crc.catalog.CRC32_ETHERNET(data_width=8).create()
        )
        octet = Signal(8)
        present = Signal()
        error = Signal()
        m.d.sync += [
            octet.eq(self.gmii.d),
            present.eq(self.gmii.dv),
            error.eq(self.gmii.er),
        ]

        # Octets wait until four more have come: those four are the FCS.
        line = Signal(8 * FCS)
        waiting = Signal(range(FCS + 1))
        length = Signal(14)
        symbol_error = Signal()
        giant = Signal()
        content = Signal(8)
        beat = Signal(64)
        lane = Signal(3)
        m.d.comb += [content.eq(line[-8:]), lane.eq(length[:3]), fcs.data.eq(octet)]

        status = Signal(Status)
        short = Signal()
        control = Signal()
        pause = Signal()
        m.d.sync += short.eq(below(length, SHORTEST))
        # Found out a cycle before: an octet comes each cycle, and its beat may have to leave.
        reached = Signal()
        one_less = Signal(14)
        longer = Signal()
        m.d.sync += [
            one_less.eq(self.longest - 1),
            reached.eq(Mux(longer, length == one_less, length == self.longest)),
        ]
        with m.If(symbol_error):
            m.d.comb += status.eq(Status.SYMBOL_ERROR)
        with m.Elif(giant):
            m.d.comb += status.eq(Status.GIANT)
        with m.Elif(short):
            m.d.comb += status.eq(Status.RUNT)
        with m.Elif(~fcs.match_detected):
            m.d.comb += status.eq(Status.BAD_FCS)
        with m.Elif(control):
            m.d.comb += status.eq(Status.CONTROL)

        total = Signal(17)
        added = Signal(16)
        if self.sums:
            # Each cycle adds the carry of the one before.
            m.d.sync += total.eq(add_carry(total[:16], added, total[16]))

        m.d.sync += [self.o.valid.eq(0), self.pause_stb.eq(0)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += begin.eq(1)
                m.d.sync += [
                    waiting.eq(0),
                    length.eq(0),
                    symbol_error.eq(0),
                    giant.eq(0),
                    control.eq(1),
                    pause.eq(1),
                    total.eq(0),
                ]
                with m.If(present):
                    with m.If(~self.enable | error):
                        m.next = "IGNORE"
                    with m.Elif(octet == 0xD5):
                        m.next = "FRAME"
                    with m.Elif(octet != 0x55):
                        m.next = "IGNORE"
            with m.State("FRAME"):
                m.d.comb += fcs.valid.eq(present)
                with m.If(present):
                    m.d.sync += [
                        line.eq(Cat(octet, line)),
                        symbol_error.eq(symbol_error | error),
                    ]
                    # Of a giant this is too much, and nobody looks at it.
                    with m.If(waiting == FCS):
                        m.d.comb += added.eq(Mux(length[0], content, content << 8))
                    with m.If(waiting != FCS):
                        m.d.sync += waiting.eq(waiting + 1)
                    with m.Elif(reached):
                        m.d.sync += giant.eq(1)
                    with m.Else():
                        m.d.comb += longer.eq(1)
                        m.d.sync += [
                            length.eq(length + 1),
                            beat.word_select(lane, 8).eq(content),
                        ]
                        self._look(m, content, length, control, pause)
                        # A full beat leaves when it is known not to be the last.
                        with m.If((lane == 0) & (length != 0)):
                            m.d.sync += [
                                self.o.valid.eq(1),
                                self.o.payload.packet.data.eq(beat),
                                self.o.payload.packet.empty.eq(0),
                                self.o.payload.packet.last.eq(0),
                                self.o.payload.packet.error.eq(0),
                            ]
                with m.Else():
                    m.next = "END"
            with m.State("END"):
                m.d.sync += [
                    self.o.valid.eq(1),
                    self.o.payload.packet.data.eq(beat),
                    self.o.payload.packet.empty.eq(-length[:3]),
                    self.o.payload.packet.last.eq(1),
                    self.o.payload.packet.error.eq(status != Status.GOOD),
                    self.o.payload.status.eq(status),
                    self.o.payload.sum.eq(total),
                    self.pause_stb.eq((status == Status.CONTROL) & pause),
                ]
                m.next = "IDLE"
                with m.If(present):
                    m.next = "IGNORE"
            with m.State("IGNORE"), m.If(~present):
                m.next = "IDLE"
        return m

    def _look(self, m, content, length, control, pause):
        """Compare the passing octets with those of a PAUSE frame."""
        expected = {n: (control, octet) for n, octet in enumerate(_ADDRESS)}
        expected |= {_TYPE_AT + n: (control, octet) for n, octet in enumerate(_TYPE)}
        expected |= {_OPCODE_AT + n: (pause, octet) for n, octet in enumerate(_PAUSE)}
        with m.If(length[5:] == 0), m.Switch(length[:5]):
            for at, (flag, octet) in expected.items():
                with m.Case(at), m.If(content != octet):
                    m.d.sync += flag.eq(0)
            for n in range(2):
                with m.Case(_QUANTA_AT + n):
                    m.d.sync += self.pause.word_select(1 - n, 8).eq(content)
