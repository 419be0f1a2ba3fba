"""A register access through configuration space (virtio 1.2, 4.1.4.9)."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import RegisterReply, RegisterRequest

from .configuration import ConfigurationAccess
from .image import Image

__all__ = ["WindowAccess"]


class WindowAccess(wiring.Component):
    """Performs the access that a function's window describes, when its data field is touched.

    It reads the window's BAR number, offset and length, and then reads or writes the register,
    in about 15 cycles. Where they make no sense (a BAR that is not declared, an offset beyond
    it, a length that is not 1, 2 or 4) nothing is accessed, and zero is read; of an access
    across a doubleword only the part in the first is done.

    Parameters
    ----------
    images
        Configuration space of each function.

    Members
    -------
    start : In(1), function : In(3), write : In(1), data : In(32)
        Strobe, with the function and what is written; these hold until ``done``.
    done : Out(1)
        Strobe.
    result : Out(32), error : Out(1)
        With ``done`` and after: what was read, or that the engine refused.
    access : Out(stream of ConfigurationAccess), access_data : In(32), access_done : In(1)
        To configuration space.
    request : Out(stream of RegisterRequest), reply : In(stream of RegisterReply)
        To the registers.
    """

    start: In(1)
    function: In(3)
    write: In(1)
    data: In(32)
    done: Out(1)
    result: Out(32)
    error: Out(1)
    access: Out(stream.Signature(ConfigurationAccess))
    access_data: In(32)
    access_done: In(1)
    request: Out(stream.Signature(RegisterRequest))
    reply: In(stream.Signature(RegisterReply))

    def __init__(self, images: Sequence[Image]):
        self._images = tuple(images)
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        offset, bar, length = Signal(32), Signal(8), Signal(3)
        step = Signal(2)
        shift = Signal(2)
        mask = Signal(4)
        windows = [image.window for image in self._images]
        where = Array(Array([w.bar, w.offset, w.length, 0] if w else [0, 0, 0, 0]) for w in windows)
        m.d.comb += [
            self.access.payload.function.eq(self.function),
            self.access.payload.register.eq(where[self.function][step]),
            self.request.payload.function.eq(self.function),
            self.request.payload.bar.eq(bar),
            self.request.payload.address.eq(offset & ~7),
            self.request.payload.write.eq(self.write),
            self.request.payload.data.eq(self.result.replicate(2)),
            self.request.payload.mask.eq(Mux(offset[2], mask << 4, mask)),
        ]
        sensible = Signal()
        for number, image in enumerate(self._images):
            for declared in image.function.bars:
                with m.If((self.function == number) & (bar == declared.index)):
                    m.d.comb += sensible.eq(offset < declared.size)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += step.eq(0)
                with m.If(self.start):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.access.valid.eq(1)
                with m.If(self.access.ready):
                    m.next = "TAKE"
            with m.State("TAKE"), m.If(self.access_done):
                m.d.sync += step.eq(step + 1)
                m.next = "ASK"
                with m.Switch(step):
                    with m.Case(0):
                        m.d.sync += bar.eq(self.access_data)
                    with m.Case(1):
                        m.d.sync += [offset.eq(self.access_data), shift.eq(self.access_data)]
                    with m.Default():
                        m.d.sync += length.eq(
                            Mux(self.access_data[3:].any(), 0, self.access_data[:3])
                        )
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [
                    mask.eq(Mux(length[2], 0b1111, Cat(length[0] | length[1], length[1]))),
                    self.result.eq(Mux(self.write, self.data, 0)),
                    self.error.eq(0),
                ]
                m.next = "ALIGN"
                with m.If(~sensible | (length == 0) | (length[0] & length[1:].any())):
                    m.next = "DONE"
                with m.If(length[1] & length[2]):
                    m.next = "DONE"
            with m.State("ALIGN"):
                with m.If(shift != 0):
                    m.d.sync += [
                        shift.eq(shift - 1),
                        mask.eq(mask << 1),
                        self.result.eq(self.result << 8),
                    ]
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.request.valid.eq(1)
                m.d.sync += shift.eq(offset)
                with m.If(self.request.ready):
                    m.next = "DONE"
                    with m.If(~self.write):
                        m.next = "REPLY"
            with m.State("REPLY"):
                m.d.comb += self.reply.ready.eq(1)
                reply = self.reply.payload
                m.d.sync += [
                    self.result.eq(Mux(offset[2], reply.data[32:], reply.data[:32])),
                    self.error.eq(reply.error),
                ]
                with m.If(self.reply.valid):
                    m.next = "RETURN"
            with m.State("RETURN"):
                m.d.sync += shift.eq(shift - 1)
                with m.If(shift == 0):
                    m.next = "DONE"
                with m.Else():
                    m.d.sync += self.result.eq(self.result >> 8)
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
