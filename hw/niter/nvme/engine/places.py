"""Where in host memory a byte of a command's data lies."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.ram import Ram

from .layouts import (
    LIST_ENTRIES,
    PAGE_BITS,
    LowHalf,
    PlacePort,
    Position,
    StoreFirst,
    StorePage,
)

__all__ = ["Places"]


class Places(wiring.Component):
    """Keeps the pages of all commands, and finds the one that a byte of their data is in.

    The first page is PRP1's; the following ones are entries of the command's list, which stands
    here whole, or PRP2's alone in place of a list. So bytes are found in any order, 5 cycles
    each. Who asks on a port with a lower number goes first.

    Parameters
    ----------
    tags
        Commands.
    ports
        Numbers of those who ask.

    Members
    -------
    first : In(StoreFirst)
        PRP1.
    page : In(StorePage)
        The others.
    ask : array of In(PlacePort)
        Positions to find.
    hold : In(1)
        Begin with no position.
    idle : Out(1)
        None is being looked for. While ``hold``, a word may be stored that might be asked for.
    """

    def __init__(self, tags: int, ports: int):
        self.tags = tags
        self.ports = ports
        super().__init__(
            {
                "first": In(StoreFirst),
                "page": In(StorePage),
                "ask": In(PlacePort).array(ports),
                "hold": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.firsts = firsts = Ram(shape=35, depth=2 * self.tags, init=[])
        m.submodules.pages = pages = Ram(shape=52, depth=LIST_ENTRIES * self.tags, init=[])
        first, store_first = firsts.read_port(), firsts.write_port()
        page, store_page = pages.read_port(), pages.write_port()
        m.d.comb += [
            store_first.addr.eq(Cat(self.first.half, self.first.tag)),
            store_first.data.eq(self.first.data),
            store_first.en.eq(self.first.en),
            store_page.addr.eq(Cat(self.page.entry, self.page.tag)),
            store_page.data.eq(self.page.data),
            store_page.en.eq(self.page.en),
        ]

        position, chosen = Signal(Position), Signal(Position)
        turn, winner = Signal(self.ports), Signal(self.ports)
        low, high = Signal(LowHalf), Signal(32)
        byte = Signal(18)
        number = Signal(64 - PAGE_BITS)
        before = Signal(18 - PAGE_BITS)
        for asker in reversed(range(self.ports)):
            with m.If(self.ask[asker].request.valid):
                m.d.comb += [
                    winner.eq(1 << asker),
                    chosen.eq(self.ask[asker].request.payload),
                ]
        m.d.comb += before.eq(byte[PAGE_BITS:] - 1)
        m.d.comb += [first.en.eq(1), page.en.eq(1), page.addr.eq(Cat(before[:5], position.tag))]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.idle.eq(1), first.addr.eq(Cat(0, chosen.tag))]
                m.d.sync += [position.eq(chosen), turn.eq(winner)]
                with m.If(winner.any() & ~self.hold):
                    for asker, ask in enumerate(self.ask):
                        m.d.comb += ask.request.ready.eq(winner[asker])
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += first.addr.eq(Cat(1, position.tag))
                word = LowHalf(first.data)
                m.d.sync += [
                    low.eq(word),
                    byte.eq(position.byte + Cat(0, 0, word.address[: PAGE_BITS - 2])),
                ]
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.sync += high.eq(first.data)
                m.next = "PAGE"
            with m.State("PAGE"):
                m.d.sync += number.eq(
                    Mux(
                        byte[PAGE_BITS:] == 0,
                        Cat(low.address[PAGE_BITS - 2 :], high),
                        page.data,
                    )
                )
                m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += Cat(ask.done for ask in self.ask).eq(turn)
                m.next = "IDLE"
        for ask in self.ask:
            m.d.comb += [
                ask.place.address.eq(Cat(byte[:PAGE_BITS], number)),
                ask.place.function.eq(low.function),
                ask.place.compare.eq(low.compare),
                ask.place.dead.eq(low.dead),
            ]
        return m
