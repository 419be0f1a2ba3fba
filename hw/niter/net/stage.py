"""What every stage of a frame pipeline is made of: a stream in, a stream out, a register port."""

from collections.abc import Mapping
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from niter import csr
from niter.interface import FrameStream

__all__ = ["Stage", "add_carry", "pass_frame"]


def pass_frame(i: Any, o: Any, when: Any = 1) -> list:
    """Connect two frame streams combinationally while ``when`` is high.

    ``when`` must not fall while a beat is offered. A stage assigns the fields of
    ``o.payload.meta`` that it changes behind this.
    """
    return [
        o.payload.eq(i.payload),
        o.valid.eq(i.valid & when),
        i.ready.eq(o.ready & when),
    ]


def add_carry(left: Any, right: Any, carry: Any) -> Any:
    """``left + right + carry`` in the carry chain of one adder."""
    return (Cat(1, left) + Cat(carry, right))[1:]


class Stage(wiring.Component):
    """Base class of the stages of a frame pipeline.

    A stage takes its registers, and its blocks that have a register bus of their own
    (tables, counters), as arguments; ``control`` puts them into the module.

    Parameters
    ----------
    registers
        Registers by name.
    blocks
        Components with a port ``bus``, by name.
    ports
        Further ports, beside the three that every stage has.

    Members
    -------
    i : In(FrameStream)
        Frames from the stage before.
    o : Out(FrameStream)
        Frames to the stage behind.
    csr : In(csr.Signature)
        Registers, tables and counters; its memory map names them.
    """

    def __init__(
        self,
        registers: Mapping[str, csr.Register] | None = None,
        blocks: Mapping[str, wiring.Component] | None = None,
        ports: Mapping[str, Any] | None = None,
    ):
        self._parts = dict(blocks or {})
        if registers or not blocks:
            registers = dict(registers or {})
            builder = csr.Builder(addr_width=ceil_log2(max(len(registers), 1)))
            for name, register in registers.items():
                builder.add(name, register)
            self._parts["registers"] = csr.Bridge(builder.as_memory_map())
        if len(self._parts) == 1:
            (part,) = self._parts.values()
            self._bus = part.bus
        else:
            self._decoder = csr.decoder_of({name: part.bus for name, part in self._parts.items()})
            self._bus = self._decoder.bus
        super().__init__(
            {
                "i": In(FrameStream),
                "o": Out(FrameStream),
                "csr": In(csr.Signature(addr_width=self._bus.addr_width)),
                **(ports or {}),
            }
        )
        self.csr.memory_map = self._bus.memory_map

    def gate(self, m: Module) -> Signal:
        """Connect ``i`` to ``o``, holding each frame back at its first beat.

        Returns a register for the stage to set in the cycle in which it has decided about
        the frame on ``i``; the frame then passes, and the register falls behind its last
        beat. What the stage writes into ``o.payload.meta`` it assigns after this call.
        """
        decided = Signal()
        m.d.comb += pass_frame(self.i, self.o, decided)
        with m.If(self.o.valid & self.o.ready & self.i.payload.packet.last):
            m.d.sync += decided.eq(0)
        return decided

    def control(self, m: Module) -> None:
        """Put the registers and blocks into ``m`` and on the stage's bus."""
        for name, part in self._parts.items():
            m.submodules[name] = part
        if len(self._parts) > 1:
            m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._bus)
