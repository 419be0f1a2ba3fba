"""The register access that a window in configuration space describes (virtio 1.2, 4.1.4.9)."""

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .configuration import ConfigurationAccess
from .image import Image

__all__ = ["WindowResolver"]


class WindowResolver(wiring.Component):
    """Looks up BAR, offset and length of a function's window, in about 45 cycles.

    Parameters
    ----------
    images
        Configuration space of each function.

    Members
    -------
    function : In(3)
        Whose window; holds until ``done``.
    start : In(1), done : Out(1)
        Strobes; the results hold from ``done`` on.
    bar : Out(3), offset : Out(32), mask : Out(8)
        The access: ``mask`` are the lanes in the aligned word.
    value : In(32), lanes : Out(64)
        What is written, and the same in the lanes of the word, whichever they are.
    sensible : Out(1)
        There is such a BAR, the offset is in it and a multiple of the length, and that is 1, 2
        or 4.
    access : Out(stream of ConfigurationAccess), access_data : In(32)
        To configuration space; ``access_data`` is what was read, with the transfer.
    """

    function: In(3)
    start: In(1)
    done: Out(1)
    bar: Out(3)
    offset: Out(32)
    mask: Out(8)
    value: In(32)
    lanes: Out(64)
    sensible: Out(1)
    access: Out(stream.Signature(ConfigurationAccess))
    access_data: In(32)

    def __init__(self, images: Sequence[Image]):
        self._images = tuple(images)
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        step = Signal(2)
        bar_exists, length_exists = Signal(), Signal()
        length = Signal(3)
        windows = [image.window for image in self._images]
        registers = Array(
            Array(Const(n, 6) for n in ((w.bar, w.offset, w.length, 0) if w else (0,) * 4))
            for w in windows
        )
        m.d.comb += [
            self.access.payload.function.eq(self.function),
            self.access.payload.register.eq(registers[self.function][step]),
        ]
        # The length is more than one byte, is four bytes.
        wide = Cat(~length[0], length[2])
        low, half, high = self.value[:8], self.value[8:16], self.value[16:]
        upper = Mux(wide[0], half, low)
        m.d.comb += self.lanes.eq(Cat(low, upper, Mux(wide[1], high, Cat(low, upper))).replicate(2))
        one, place = Signal(4), self.offset[:2]
        m.d.comb += [
            one.eq(Mux(length[2], 0b1111, Mux(length[1], 0b11 << place, 1 << place))),
            self.mask.eq(Mux(self.offset[2], one << 4, one)),
        ]
        inside = Signal()
        sizes = {}
        for number, image in enumerate(self._images):
            for bar in image.function.bars:
                sizes.setdefault((bar.index, bar.size), []).append(number)
        for (index, size), numbers in sizes.items():
            mine = Cat(self.function == number for number in numbers).any()
            with m.If((self.bar == index) & mine):
                m.d.comb += inside.eq(self.offset[size.bit_length() - 1 :] == 0)
        aligned = ~(self.offset[0] & wide[0]) & ~(self.offset[1] & wide[1])
        m.d.comb += self.sensible.eq(bar_exists & length_exists & inside & aligned)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += step.eq(0)
                with m.If(self.start):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.access.valid.eq(1)
                with m.If(self.access.ready):
                    m.d.sync += step.eq(step + 1)
                    with m.Switch(step):
                        with m.Case(0):
                            m.d.sync += [
                                self.bar.eq(self.access_data),
                                bar_exists.eq(self.access_data[3:8] == 0),
                            ]
                        with m.Case(1):
                            m.d.sync += self.offset.eq(self.access_data)
                        with m.Default():
                            value = self.access_data
                            known = (value == 1) | (value == 2) | (value == 4)
                            m.d.sync += [length.eq(value), length_exists.eq(known)]
                            m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
