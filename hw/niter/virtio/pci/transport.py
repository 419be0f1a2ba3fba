"""The transport of all functions of one kind of virtio device."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter.interface import MAX_FUNCTIONS, FunctionPort, HostWrite
from niter.stream import PipeRegister, Ram
from niter.virtio.features import RingFeature, mask
from niter.virtio.queue.layouts import Fault, Notification, QueueCommand, QueueId

from .access import RegisterAccess
from .common import CommonRegisters
from .device import DeviceKind
from .doorbells import Doorbells
from .flags import FunctionFlags
from .layouts import (
    CONFIG_SLOT,
    DEVICE_SLOT,
    SLOT_WORDS,
    SLOTS,
    DeviceConfig,
    DeviceWord,
    StateAddress,
)
from .lifecycle import Lifecycle

__all__ = ["Transport"]


class Transport(wiring.Component):
    """Registers, life cycle and doorbells of up to eight virtio functions.

    Parameters
    ----------
    kind
        What the functions are.
    functions
        How many: numbers 0 to ``functions - 1`` of the port.

    Members
    -------
    function : In(FunctionPort)
        From the PCIe room. A register access takes about ten cycles; a doorbell is taken
        at once, whatever the engine does.
    commands : Out(stream.Signature(QueueCommand))
        To the engine: a queue goes live when it is enabled and the driver is ready, and is
        disabled by queue reset, device reset and function reset. The next command comes
        only after the answer to a DISABLE.
    commands_done : In(stream.Signature(QueueId))
        From the engine: a DISABLE is done.
    notifications : Out(stream.Signature(Notification))
        To the engine: at most one waits for each queue, with the newest index.
    faults : In(stream.Signature(Fault))
        From the engine. The function's device_status shows DEVICE_NEEDS_RESET, and its
        driver gets a configuration interrupt.
    interrupts : Out(HostWrite)
        Configuration interrupts, nothing else.
    config : In(DeviceConfig)
        Changes of the device-specific structures.
    features : Out(64), an array over functions
        What was negotiated; stable while ``ready[f]``.
    ready : Out(8)
        The driver of function ``f`` is running: DRIVER_OK is set and no reset has begun.
    """

    function: In(FunctionPort)
    commands: Out(stream.Signature(QueueCommand))
    commands_done: In(stream.Signature(QueueId))
    notifications: Out(stream.Signature(Notification))
    faults: In(stream.Signature(Fault))
    interrupts: Out(HostWrite)
    config: In(DeviceConfig)
    features: Out(data.ArrayLayout(64, MAX_FUNCTIONS))
    ready: Out(MAX_FUNCTIONS)

    def __init__(self, kind: DeviceKind, functions: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.kind = kind
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.access = access = RegisterAccess(self.kind.queues)
        m.submodules.common = common = CommonRegisters(self.kind, self.functions)
        m.submodules.flags = flags = FunctionFlags(self.functions)
        m.submodules.lifecycle = lifecycle = Lifecycle(self.kind, self.functions)
        m.submodules.doorbells = doorbells = Doorbells(self.functions)

        # Drivers go first; the life cycle takes the cycles between their accesses.
        depth = self.functions * SLOTS * SLOT_WORDS
        m.submodules.memory = state = Ram(shape=32, depth=depth, init=self._constants())
        read, write = state.read_port(), state.write_port(granularity=8)
        m.d.comb += [
            common.state.grant.eq(1),
            lifecycle.state.grant.eq(~common.state.request & ~self.config.valid),
            common.state.r_data.eq(read.data),
            lifecycle.state.r_data.eq(read.data),
        ]

        def use(port):
            m.d.comb += [
                read.addr.eq(port.address),
                write.addr.eq(port.address),
                write.data.eq(port.w_data),
                write.en.eq(port.mask),
            ]

        with m.If(common.state.request):
            use(common.state)
        with m.Elif(lifecycle.state.request):
            use(lifecycle.state)

        # A change of configuration waits for a cycle in which no access writes, nor reads such.
        change = Signal(StateAddress)
        busy = common.state.mask.any() | (common.state.address.slot == change.slot)
        changed = Signal(MAX_FUNCTIONS)
        m.d.comb += [
            self.config.ready.eq(~(common.state.request & busy)),
            change.word.eq(self.config.word),
            change.slot.eq(CONFIG_SLOT - self.config.word[3]),
            change.function.eq(self.config.function),
        ]
        with m.If(self.config.offer):
            m.d.comb += [change.word.eq(DeviceWord.OFFERED_LOW), change.slot.eq(DEVICE_SLOT)]
        with m.If(self.config.valid & self.config.ready):
            m.d.comb += [
                write.addr.eq(change),
                write.data.eq(self.config.data),
                write.en.eq(Cat(half.replicate(2) for half in self.config.mask)),
                changed.bit_select(self.config.function, 1).eq(~self.config.offer),
            ]

        function = access.common.function
        features = common.features
        m.d.comb += [
            common.resetting.eq(flags.work.resetting.bit_select(function, 1)),
            common.needs_reset.eq(flags.needs_reset.bit_select(function, 1)),
            access.ready.eq(flags.work.ready),
            access.isr.eq(flags.isr),
            access.indexed.eq(Cat(f[RingFeature.NOTIFICATION_DATA] for f in features)),
            flags.isr_read.eq(access.isr_read),
            flags.changed.eq(changed),
            access.changed.eq(changed),
            flags.function_reset.eq(self.function.reset),
            self.function.reset_done.eq(flags.function_reset_done),
            lifecycle.features.eq(features),
            self.features.eq(features),
            self.ready.eq(flags.work.ready),
        ]
        # The next access is cycles away.
        m.d.sync += flags.event.eq(common.event)
        connect(m, access.common, common.access)
        connect(m, lifecycle.work, flags.work)
        connect(m, flipped(self.function.request), access.request)
        connect(m, access.reply, flipped(self.function.reply))
        connect(m, flipped(self.faults), flags.faults)
        connect(m, lifecycle.commands, flipped(self.commands))
        connect(m, flipped(self.commands_done), lifecycle.commands_done)
        connect(m, lifecycle.interrupts, flipped(self.interrupts.command))
        connect(m, access.doorbell, doorbells.i)
        # Who rings, and for which queue, is known late in its cycle.
        m.submodules.ring = ring = PipeRegister(QueueId)
        connect(m, lifecycle.ring, ring.i)
        connect(m, ring.o, doorbells.ring)
        connect(m, lifecycle.cancel, doorbells.cancel)
        connect(m, doorbells.o, flipped(self.notifications))
        return m

    def _constants(self) -> list[int]:
        """The state memory before the first reset: what no reset writes."""
        words = [0] * (self.functions * SLOTS * SLOT_WORDS)
        offered = mask(self.kind.features)
        for function in range(self.functions):
            slot = (function * SLOTS + DEVICE_SLOT) * SLOT_WORDS
            words[slot + DeviceWord.OFFERED_LOW] = offered & 0xFFFF_FFFF
            words[slot + DeviceWord.OFFERED_HIGH] = offered >> 32
            for number, word in enumerate(self.kind.config):
                slot = CONFIG_SLOT - number // SLOT_WORDS
                words[(function * SLOTS + slot) * SLOT_WORDS + number % SLOT_WORDS] = word
        return words
