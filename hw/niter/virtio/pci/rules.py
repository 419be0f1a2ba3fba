"""What a driver may write into the common configuration structure."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below

from .device import DeviceKind
from .layouts import LifecycleEvent
from .registers import NO_VECTOR, Common, Status

__all__ = ["WriteRules"]


class WriteRules(wiring.Component):
    """Tells what becomes of a write to one word, combinationally (virtio 1.2, 4.1.4.3).

    Parameters
    ----------
    kind
        What the functions are.

    Members
    -------
    word, value, lanes
        The write.
    status
        device_status as it is, NEEDS_RESET apart.
    exists, enabled
        The selected queue.
    resettable
        RING_RESET was negotiated.
    beyond
        The selected half of the feature bits does not exist.
    refused
        The accepted features do not hold together.
    mask, w_data
        What is to be written into the state memory.
    event : Out(LifecycleEvent)
        What it sets off; its function is not given.
    """

    word: In(Common)
    value: In(32)
    lanes: In(4)
    status: In(Status)
    exists: In(1)
    enabled: In(1)
    resettable: In(1)
    beyond: In(1)
    refused: In(1)
    mask: Out(4)
    w_data: Out(32)
    event: Out(LifecycleEvent)

    def __init__(self, kind: DeviceKind):
        self.kind = kind
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        value, lanes, status, event = self.value, self.lanes, self.status, self.event
        low, high = lanes[:2].all(), lanes[2:].all()
        unlocked = self.exists & ~self.enabled

        # Bits of device_status are only ever set, and two of them only when they may be.
        wanted = data.View(Status, value[:8])
        after = Signal(Status)
        features_ok = status.features_ok | (wanted.features_ok & ~self.refused)
        starts = wanted.driver_ok & features_ok
        m.d.comb += [
            after.acknowledge.eq(status.acknowledge | wanted.acknowledge),
            after.driver.eq(status.driver | wanted.driver),
            after.features_ok.eq(features_ok),
            after.driver_ok.eq(status.driver_ok | starts),
            after.failed.eq(status.failed | wanted.failed),
        ]

        m.d.comb += self.w_data.eq(value)
        with m.Switch(self.word):
            with m.Case(Common.DEVICE_FEATURE_SELECT, Common.DRIVER_FEATURE_SELECT):
                m.d.comb += self.mask.eq(lanes)
            with m.Case(Common.DRIVER_FEATURE), m.If(~self.beyond & ~status.features_ok):
                m.d.comb += self.mask.eq(lanes)
            with m.Case(Common.VECTOR_QUEUES):
                m.d.comb += [
                    self.w_data[:16].eq(self._vector(value[:16])),
                    self.mask[:2].eq(low.replicate(2)),
                ]
            with m.Case(Common.STATUS_GENERATION_SELECT):
                m.d.comb += self.mask[2:].eq(lanes[2:])
                with m.If(lanes[0]):
                    m.d.comb += [
                        self.w_data[:8].eq(after),
                        self.mask[0].eq(value[:8] != 0),
                        event.reset.eq(value[:8] == 0),
                        event.start.eq(starts & ~status.driver_ok),
                    ]
            with m.Case(Common.SIZE_VECTOR):
                m.d.comb += [
                    self.w_data[16:].eq(self._vector(value[16:])),
                    self.mask[:2].eq((unlocked & low & self._size(value[:16])).replicate(2)),
                    self.mask[2:].eq((unlocked & high).replicate(2)),
                ]
            with m.Case(Common.ENABLE_NOTIFY_OFF):
                enable = unlocked & status.features_ok & low & (value[:16] == 1)
                m.d.comb += [self.mask[0].eq(enable), event.service.eq(enable)]
            with m.Case(Common.NOTIFY_DATA_RESET):
                # The request to reset stands in the uppermost byte of the queue's flags.
                reset = self.enabled & self.resettable & high & (value[16:] == 1)
                m.d.comb += [
                    self.w_data[24].eq(1),
                    self.mask[3].eq(reset),
                    event.service.eq(reset),
                ]
            with m.Case(Common.DEVICE_FEATURE, Common.ADMIN):
                pass
            with m.Default(), m.If(unlocked):
                m.d.comb += self.mask.eq(lanes)
        return m

    def _vector(self, wanted: Value) -> Value:
        """What is stored of a vector: one that does not exist is unmapped (4.1.5.1.2)."""
        return Mux(below(wanted, self.kind.vectors), wanted, NO_VECTOR)

    def _size(self, wanted: Value) -> Value:
        """Is it a size that a queue may have?"""
        return Cat(wanted == 1 << log for log in range(self.kind.queue_size.bit_length())).any()
