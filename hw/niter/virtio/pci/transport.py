"""The transport of all functions of one kind of virtio device."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, FunctionPort, HostWrite
from niter.virtio.queue.layouts import Fault, Notification, QueueCommand, QueueId

from .device import DeviceKind
from .layouts import DeviceConfig

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
    config : Out(DeviceConfig)
        The device-specific structures.
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
    config: Out(DeviceConfig)
    features: Out(data.ArrayLayout(64, MAX_FUNCTIONS))
    ready: Out(MAX_FUNCTIONS)

    def __init__(self, kind: DeviceKind, functions: int):
        if not 1 <= functions <= MAX_FUNCTIONS:
            raise ValueError(f"There are 1 to {MAX_FUNCTIONS} functions, not {functions!r}")
        self.kind = kind
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        return Module()
