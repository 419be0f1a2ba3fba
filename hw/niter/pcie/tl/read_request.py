"""Read commands become memory read requests."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import PacketStream, ReadCommand

from .choice import register_one_of
from .count import increment
from .header import Identifier, RequestHead, TlpFormat, TlpType, swap_dwords
from .layouts import FunctionStates, LinkState
from .order import Fence, WriteOrder
from .slots import Opening, SlotInfo, SlotMap
from .turn import Turn

__all__ = ["ReadRequester"]


class ReadRequester(wiring.Component):
    """Cuts commands at 128-byte boundaries and sends a request for each piece.

    Ports take turns piece by piece. A piece needs a free slot of its port; a command also
    waits until the writes that its pair had accepted before it have left. A command stays
    on its port until its last piece is sent. One piece takes five cycles.

    A function that is not allowed to send gets a single failing slot for the rest of the
    command, and nothing is sent.

    Parameters
    ----------
    slots : SlotMap
        The ports' shares of the buffer.

    Members
    -------
    command : array of In(stream of ReadCommand)
        Commands of each port.
    freed : In, array
        Pointer of each port's ring: slots before it are free again.
    open : Out(stream of Opening)
        The request that is about to be sent. With its transfer, ``info`` is stored.
    info : Out(SlotInfo)
        How the slot is to be delivered.
    o : Out(PacketStream)
        Memory read requests.
    order : In(WriteOrder), states : In(FunctionStates), link : In(LinkState)
        See there.
    """

    def __init__(self, slots: SlotMap):
        self._slots = slots
        ports = len(slots.sizes)
        super().__init__(
            {
                "command": In(stream.Signature(ReadCommand)).array(ports),
                "freed": In(6).array(ports),
                "open": Out(stream.Signature(Opening)),
                "info": Out(SlotInfo),
                "o": Out(PacketStream),
                "order": In(WriteOrder),
                "states": In(FunctionStates),
                "link": In(LinkState),
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        ports = len(self._slots.sizes)

        # Who may go: commands behind their fence, with a free slot.
        m.submodules.turn = turn = Turn([1] * ports)
        tails = [Signal(self._slots.pointer_bits(p), name=f"tail_{p}") for p in range(ports)]
        pieces = Array(Signal(6, name=f"pieces_{p}") for p in range(ports))
        taken = Signal(ports)
        for p, (command, tail) in enumerate(zip(self.command, tails, strict=True)):
            m.submodules[f"fence_{p}"] = fence = Fence()
            used = Signal(len(tail))
            m.d.comb += [
                fence.request.eq(command.valid),
                fence.passed.eq(taken[p]),
                fence.waiting.eq(self.order.waiting[p]),
                fence.mark.eq(self.order.last[p]),
                fence.retired.eq(self.order.retired),
                used.eq(tail - self.freed[p]),
                command.ready.eq(taken[p]),
            ]
            m.d.sync += turn.request[p].eq(
                command.valid & fence.open & (used != self._slots.sizes[p] - 1) & ~taken[p]
            )

        # The command in work, and which of its pieces.
        port = Signal(range(ports))
        piece = Signal(6)
        picking = Signal()
        command = Signal(ReadCommand)
        m.d.comb += command.eq(
            register_one_of(
                m,
                "command",
                picking,
                ((turn.grant == p, source.payload) for p, source in enumerate(self.command)),
            )
        )
        slot = Array(self._slots.tag(p, tail) for p, tail in enumerate(tails))
        phase = Array(self._slots.phase(p, tail) for p, tail in enumerate(tails))

        # Of the last byte wanted: its place, counted from the first piece's block.
        reach = Signal(13)
        block = Signal(6)
        # From the place of the first byte in its block to its lane in the answer.
        skew = Signal(8)
        first = Signal()
        last = Signal()
        start = Signal(7)
        stop = Signal(7)
        size = Signal(8)
        m.d.comb += [
            first.eq(piece == 0),
            last.eq(piece == reach[7:]),
            start.eq(Mux(first, command.address[:7], 0)),
            stop.eq(Mux(last, reach[:7], 127)),
            # Lanes that this piece fills, with those below it in its first beat: free ones, or
            # those of the piece before.
            size.eq(stop + 1 + Cat(skew[:3], skew[3:] & first.replicate(5))),
        ]

        opening = Signal(Opening)
        info = Signal(SlotInfo)
        page = Signal(52)
        place = Signal(10)
        first_enables = Signal(4)
        last_enables = Signal(4)
        master = Signal()
        sending = Signal()
        second = Signal()

        m.d.comb += [
            self.open.payload.eq(opening),
            self.open.payload.void.eq(~master),
            self.info.eq(info),
            self.info.last.eq(info.last | ~master),
        ]
        m.d.sync += master.eq(self.states[command.function].master)
        with m.FSM():
            with m.State("PICK"):
                m.d.comb += picking.eq(1)
                m.d.sync += [port.eq(turn.grant), piece.eq(pieces[turn.grant])]
                with m.If(turn.valid):
                    m.d.comb += turn.take.eq(1)
                    m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += [
                    reach.eq(command.address[:7] + command.length - 1),
                    block.eq(command.address[7:12] + piece),
                    skew.eq(command.lane - command.address[:7]),
                ]
                m.next = "CUT"
            with m.State("CUT"), m.If(~sending):
                m.d.sync += [
                    opening.tag.eq(slot[port]),
                    opening.phase.eq(phase[port]),
                    opening.function.eq(command.function),
                    opening.dwords.eq(stop[2:] - start[2:] + 1),
                    opening.spare.eq(~stop[:2]),
                    opening.lower.eq(start),
                    info.start.eq(start[3:]),
                    info.beats.eq((size + Mux(last, 7, 0)) >> 3),
                    info.rotate.eq(skew),
                    # Of the first piece: the lane in the answer is below that in the word.
                    info.ahead.eq(Mux(first, skew[3] ^ command.address[3], skew[:3] != 0)),
                    info.first.eq(first),
                    info.last.eq(last),
                    info.empty.eq(-size[:3]),
                    info.context.eq(command.context),
                    page.eq(command.address[12:] + block[5]),
                    place.eq(Cat(start[2:], block[:5])),
                    first_enables.eq(0b1111 << start[:2]),
                    last_enables.eq(0b1111 >> ~stop[:2]),
                ]
                m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += self.open.valid.eq(1)
                with m.If(self.open.ready):
                    m.d.comb += taken.eq((info.last | ~master) << port)
                    m.d.sync += [
                        sending.eq(master),
                        pieces[port].eq(Mux(info.last | ~master, 0, piece + 1)),
                    ]
                    with m.Switch(port):
                        for p, tail in enumerate(tails):
                            with m.Case(p):
                                m.d.sync += tail.eq(increment(tail))
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                # The free slots and the commands waiting are being counted anew.
                m.next = "PICK"

        # Two beats, made of fields that stay in place until both are in the register.
        head = Signal(RequestHead)
        four, single, free = Signal(), Signal(), Signal()
        m.d.comb += [
            four.eq(page[20:].any()),
            single.eq(opening.dwords == 1),
            head.common.length.eq(opening.dwords),
            head.common.type.eq(TlpType.MEMORY),
            head.common.fmt.eq(Mux(four, TlpFormat.FOUR, TlpFormat.THREE)),
            head.first_enables.eq(Mux(single, first_enables & last_enables, first_enables)),
            head.last_enables.eq(Mux(single, 0, last_enables)),
            head.tag.eq(opening.tag),
            Identifier(head.requester).function.eq(opening.function),
            Identifier(head.requester).device.eq(self.link.device),
            Identifier(head.requester).bus.eq(self.link.bus),
            free.eq(~self.o.valid | self.o.ready),
        ]
        low = swap_dwords(Cat(0, 0, place, page[:20]))
        high = swap_dwords(page[20:])
        m.d.comb += self.o.payload.data.eq(
            register_one_of(
                m,
                "beat",
                free,
                (
                    (~second, swap_dwords(head)),
                    (second & ~four, low),
                    (second & four, Cat(high, low)),
                ),
            )
        )
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(sending),
                self.o.payload.last.eq(second),
                self.o.payload.empty.eq(Mux(second & ~four, 4, 0)),
                second.eq(sending & ~second),
            ]
            with m.If(second):
                m.d.sync += sending.eq(0)
        return m
