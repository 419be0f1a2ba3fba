"""The life of functions and queues: start, reset, configuration changes."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, WriteCommand, WriteKind
from niter.virtio.features import RingFeature
from niter.virtio.queue.layouts import QueueCommand, QueueId, QueueOperation

from .device import DeviceKind
from .layouts import DEVICE_SLOT, DeviceWord, FunctionWork, QueueWord, StatePort
from .registers import NO_VECTOR

__all__ = ["Lifecycle"]


class Lifecycle(wiring.Component):
    """Makes the engine's queues follow what the drivers have written.

    One function after the other is looked at; one that needs it is walked, queue by queue:
    a queue that is to be reset (alone, or with its device or function) is disabled in the
    engine if it is live there, and its registers return to their initial values; one that
    is enabled, of a driver that is ready, is started in the engine and rung once, since a
    doorbell may have come too early. A walk takes three cycles for a queue with nothing to
    do, about a dozen to reset one and about twenty to start one, and what the engine needs.

    Parameters
    ----------
    kind
        What the functions are.
    functions
        How many.

    Members
    -------
    work : Out(FunctionWork)
        What is to be done for which function.
    state : Out(StatePort)
        The state memory.
    features : In(64), an array over functions
        What was negotiated.
    commands, commands_done
        To and from the engine; see ``Transport``.
    ring : Out(stream.Signature(QueueId))
        A queue was started.
    cancel : Out(stream.Signature(QueueId))
        A queue is to be stopped: forget its doorbell.
    interrupts : Out(stream.Signature(WriteCommand))
        Configuration interrupts.
    """

    work: Out(FunctionWork)
    state: Out(StatePort)
    features: In(data.ArrayLayout(64, MAX_FUNCTIONS))
    commands: Out(stream.Signature(QueueCommand))
    commands_done: In(stream.Signature(QueueId))
    ring: Out(stream.Signature(QueueId))
    cancel: Out(stream.Signature(QueueId))
    interrupts: Out(stream.Signature(WriteCommand))

    def __init__(self, kind: DeviceKind, functions: int):
        self.kind = kind
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        state, command = self.state, self.commands.payload
        function = Signal(range(self.functions))
        slot = Signal(4)
        word = Signal(3)
        #: The walk is one of a reset of the whole function.
        whole = Signal()
        #: The engine has the queue in hand.
        started = Signal()
        #: The words read last: an address, or in its upper half size and vector.
        words = Signal(64)
        size_vector = words[32:]

        def bit(flags):
            return flags.bit_select(function, 1)

        queue = Signal(QueueId)
        m.d.comb += [
            queue.index.eq(slot),
            queue.function.eq(function),
            state.address.function.eq(function),
            state.address.slot.eq(slot),
            state.address.word.eq(word),
            self.ring.payload.eq(queue),
            self.cancel.payload.eq(queue),
            self.interrupts.payload.kind.eq(WriteKind.INTERRUPT),
            self.interrupts.payload.function.eq(function),
            self.interrupts.payload.vector.eq(words[32:40]),
            command.queue.eq(queue),
            command.area.eq(word[1:]),
            command.address.eq(words),
            command.size.eq(size_vector[:11]),
            command.vector.eq(size_vector[16:24]),
            command.interrupt.eq(size_vector[16:] != NO_VECTOR),
            command.event_idx.eq(self._negotiated(function, RingFeature.EVENT_IDX)),
            command.indirect.eq(self._negotiated(function, RingFeature.INDIRECT_DESC)),
        ]
        with m.Switch(slot):
            for index in filter(self.kind.pulled, range(self.kind.queues)):
                with m.Case(index):
                    m.d.comb += command.pulled.eq(1)

        with m.FSM():
            with m.State("LOOK"):
                m.d.sync += [slot.eq(0), whole.eq(bit(self.work.resetting))]
                with m.If(bit(self.work.walk)):
                    m.d.comb += bit(self.work.walked).eq(1)
                    m.next = "FLAGS"
                with m.Elif(bit(self.work.interrupt)):
                    m.d.comb += bit(self.work.interrupted).eq(1)
                    m.d.sync += [slot.eq(DEVICE_SLOT), word.eq(DeviceWord.VECTOR_QUEUES)]
                    m.next = "VECTOR"
                with m.Elif((self.work.walk | self.work.interrupt).any()):
                    m.next = "LEAVE"
            with m.State("LEAVE"):
                last = function == self.functions - 1
                m.d.sync += function.eq(Mux(last, 0, function + 1))
                m.next = "LOOK"

            # Tell of a configuration change.
            with m.State("VECTOR"):
                m.d.comb += state.request.eq(1)
                with m.If(state.grant):
                    m.next = "MAPPED"
            with m.State("MAPPED"):
                m.d.sync += size_vector.eq(state.r_data)
                m.next = "LEAVE"
                with m.If(state.r_data[:16] != NO_VECTOR):
                    m.next = "INTERRUPT"
            with m.State("INTERRUPT"):
                m.d.comb += self.interrupts.valid.eq(1)
                with m.If(self.interrupts.ready):
                    m.next = "LEAVE"

            # Look at a queue.
            with m.State("FLAGS"):
                m.d.sync += word.eq(0)
                m.d.comb += [state.request.eq(1), state.address.word.eq(QueueWord.FLAGS)]
                with m.If(state.grant):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                live = QueueWord.live(state.r_data)
                m.next = "NEXT"
                with m.If(whole | QueueWord.reset(state.r_data)):
                    m.d.sync += started.eq(live)
                    m.next = "CANCEL"
                with m.Elif(QueueWord.enabled(state.r_data) & ~live & bit(self.work.ready)):
                    m.next = "FETCH"
            with m.State("NEXT"):
                m.d.sync += slot.eq(slot + 1)
                m.next = "FLAGS"
                with m.If(slot == DEVICE_SLOT):
                    m.d.comb += bit(self.work.reset_over).eq(1)
                    m.next = "LEAVE"
                with m.Elif(slot == self.kind.queues - 1):
                    m.d.sync += slot.eq(DEVICE_SLOT)
                    m.next = "LEAVE"
                    with m.If(whole):
                        m.next = "CLEAR"

            # Stop it; what the driver has rung before does not come after.
            with m.State("CANCEL"):
                m.d.comb += self.cancel.valid.eq(1)
                with m.If(self.cancel.ready & started):
                    m.next = "DISABLE"
                with m.Elif(self.cancel.ready):
                    m.next = "CLEAR"
            with m.State("DISABLE"):
                m.d.comb += [
                    command.operation.eq(QueueOperation.DISABLE),
                    self.commands.valid.eq(1),
                    self.commands_done.ready.eq(1),
                ]
                with m.If(self.commands.ready):
                    m.next = "WAIT"
                    with m.If(self.commands_done.valid):
                        m.next = "CLEAR"
            with m.State("WAIT"):
                m.d.comb += self.commands_done.ready.eq(1)
                with m.If(self.commands_done.valid):
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += state.request.eq(1)
                self._initial(m, slot, word)
                with m.If(state.grant):
                    m.d.sync += word.eq(word + 1)
                    with m.If(word.all()):
                        m.next = "NEXT"

            # Start it.
            with m.State("FETCH"):
                m.d.comb += state.request.eq(1)
                with m.If(state.grant):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += words.eq(Cat(size_vector, state.r_data))
                with m.If(word == QueueWord.SIZE_VECTOR):
                    m.next = "MARK"
                with m.Elif(word[0]):
                    m.next = "ADDRESS"
                with m.Else():
                    m.d.sync += word.eq(word + 1)
                    m.next = "FETCH"
            with m.State("ADDRESS"):
                m.d.comb += [
                    command.operation.eq(QueueOperation.ADDRESS),
                    self.commands.valid.eq(1),
                ]
                with m.If(self.commands.ready):
                    m.d.sync += word.eq(word + 1)
                    m.next = "FETCH"
            with m.State("MARK"):
                m.d.comb += [
                    state.request.eq(1),
                    state.address.word.eq(QueueWord.FLAGS),
                    state.w_data[8].eq(1),
                    state.mask.eq(0b0010),
                ]
                with m.If(state.grant):
                    m.next = "ENABLE"
            with m.State("ENABLE"):
                m.d.comb += [
                    command.operation.eq(QueueOperation.ENABLE),
                    self.commands.valid.eq(1),
                ]
                with m.If(self.commands.ready):
                    m.next = "RING"
            with m.State("RING"):
                m.d.comb += self.ring.valid.eq(1)
                with m.If(self.ring.ready):
                    m.next = "NEXT"
        return m

    def _initial(self, m: Module, slot: Value, word: Value):
        """Write what ``word`` holds after reset."""
        state = self.state
        m.d.comb += state.mask.eq(0b1111)
        with m.If(slot == DEVICE_SLOT), m.Switch(word):
            with m.Case(DeviceWord.OFFERED_LOW, DeviceWord.OFFERED_HIGH):
                m.d.comb += state.mask.eq(0)
            with m.Case(DeviceWord.VECTOR_QUEUES):
                m.d.comb += state.w_data.eq(NO_VECTOR | self.kind.queues << 16)
            with m.Case(DeviceWord.STATUS_GENERATION_SELECT):
                m.d.comb += state.mask.eq(0b1101)
        with m.Else(), m.Switch(word):
            with m.Case(QueueWord.SIZE_VECTOR):
                m.d.comb += state.w_data.eq(self.kind.queue_size | NO_VECTOR << 16)
            with m.Case(QueueWord.FLAGS):
                m.d.comb += state.w_data.eq(slot << 16)

    def _negotiated(self, function: Value, feature: RingFeature) -> Value:
        """Has the driver of ``function`` accepted ``feature``?"""
        return Cat(self.features[n][feature] for n in range(self.functions)).bit_select(function, 1)
