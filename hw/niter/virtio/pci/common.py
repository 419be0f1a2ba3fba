"""The common configuration structure (virtio 1.2, 4.1.4.3)."""

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from niter.compare import below
from niter.interface import MAX_FUNCTIONS
from niter.virtio.features import RingFeature

from .device import DeviceKind
from .layouts import (
    CONFIG_SLOT,
    DEVICE_SLOT,
    VOID_SLOT,
    CommonAccess,
    DeviceWord,
    LifecycleEvent,
    QueueWord,
    StatePort,
)
from .registers import Common, Status
from .rules import WriteRules

__all__ = ["CommonRegisters"]


class CommonRegisters(wiring.Component):
    """Reads or writes one 32-bit word of the structure, over several cycles.

    What a driver must not write is not changed: read-only fields, fields of a queue that is
    enabled, sizes that are no power of two, features after FEATURES_OK, bits of
    device_status from one to zero. A vector that does not exist is stored as NO_VECTOR. A
    16-bit field is written as a whole or not at all. Nothing is written while the function
    is being reset.

    FEATURES_OK stays clear when a bit was accepted that is not offered, VERSION_1 was not,
    or a bit was accepted without one that it requires; DRIVER_OK stays clear without it.

    Parameters
    ----------
    kind
        What the functions are.
    functions
        How many.

    Members
    -------
    access : In(CommonAccess)
        What to do. It takes 3 to 7 cycles from ``start`` to ``done``.
    state : Out(StatePort)
        The state memory; every request is granted at once.
    event : Out(LifecycleEvent)
        What the access has set off.
    resetting, needs_reset : In(1)
        State of the function; see ``Lifecycle``.
    features : Out(64), an array over functions
        What was accepted when FEATURES_OK was last written; offered bits only.
    """

    access: In(CommonAccess)
    state: Out(StatePort)
    event: Out(LifecycleEvent)
    resetting: In(1)
    needs_reset: In(1)
    features: Out(data.ArrayLayout(64, MAX_FUNCTIONS))

    def __init__(self, kind: DeviceKind, functions: int):
        self.kind = kind
        self.functions = functions
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        state = self.state
        status = Signal(Status)
        wanted = data.View(Status, self.access.value[:8])
        slot = Signal(4)
        #: Which half of the feature bits is selected: the upper one, and whether there is one.
        upper, beyond = Signal(), Signal()
        enabled = Signal()
        refused = Signal()
        touch = Signal()
        m.d.comb += [
            state.address.function.eq(self.access.function),
            self.event.function.eq(self.access.function),
        ]

        m.submodules.rules = rules = WriteRules(self.kind)
        m.d.comb += [
            rules.word.eq(self.access.word),
            rules.value.eq(self.access.value),
            rules.lanes.eq(self.access.lanes),
            rules.status.eq(status),
            rules.exists.eq(slot != VOID_SLOT),
            rules.enabled.eq(enabled),
            rules.resettable.eq(self.features[self.access.function][RingFeature.RING_RESET]),
            rules.beyond.eq(beyond),
            rules.refused.eq(refused),
        ]

        def use(slot, word):
            m.d.comb += [
                state.request.eq(1),
                state.address.slot.eq(slot),
                state.address.word.eq(word),
            ]

        def use_features(low, high):
            use(DEVICE_SLOT, Mux(upper, high, low))

        with m.FSM():
            with m.State("IDLE"):
                use(DEVICE_SLOT, DeviceWord.STATUS_GENERATION_SELECT)
                m.d.comb += state.request.eq(self.access.start)
                m.d.sync += touch.eq(self.access.touch)
                with m.If(self.access.start):
                    m.next = "CONTEXT"

            with m.State("CONTEXT"):
                selected = state.r_data[16:]
                m.d.sync += [
                    status.eq(state.r_data[:8]),
                    slot.eq(Mux(below(selected, self.kind.queues), selected[:4], VOID_SLOT)),
                ]
                m.next = "SELECT"
                with m.If(self.access.device):
                    m.next = "DEVICE"
                with m.If(touch):
                    use(DEVICE_SLOT, DeviceWord.STATUS_GENERATION_SELECT)
                    m.d.comb += [
                        state.w_data[8:16].eq(state.r_data[8:16] + 1),
                        state.mask.eq(0b0010),
                    ]

            with m.State("DEVICE"):
                use(CONFIG_SLOT - self.access.word[3], self.access.word[:3])
                m.next = "SHOW DEVICE"
            with m.State("SHOW DEVICE"):
                m.d.comb += [self.access.answer.eq(state.r_data), self.access.done.eq(1)]
                m.next = "IDLE"

            with m.State("SELECT"):
                with m.If(self.access.write):
                    m.next = "LATCH"
                with m.Else():
                    m.next = "SHOW"
                use(slot, self.access.word[:3])
                with m.Switch(self.access.word):
                    with m.Case(
                        Common.DEVICE_FEATURE_SELECT,
                        Common.DRIVER_FEATURE_SELECT,
                        Common.VECTOR_QUEUES,
                        Common.STATUS_GENERATION_SELECT,
                    ):
                        m.d.comb += state.address.slot.eq(DEVICE_SLOT)
                    with m.Case(Common.DEVICE_FEATURE):
                        use(DEVICE_SLOT, DeviceWord.DEVICE_FEATURE_SELECT)
                        m.next = "HALF"
                    with m.Case(Common.DRIVER_FEATURE):
                        use(DEVICE_SLOT, DeviceWord.DRIVER_FEATURE_SELECT)
                        m.next = "HALF"
                    with m.Case(Common.NOTIFY_DATA_RESET):
                        use(slot, QueueWord.FLAGS)
                    with m.Case(Common.ADMIN):
                        use(VOID_SLOT, 0)
                    with m.Default(), m.If(self.access.write):
                        use(slot, QueueWord.FLAGS)

            with m.State("HALF"):
                m.d.sync += [upper.eq(state.r_data[0]), beyond.eq(state.r_data[1:].any())]
                m.next = "FEATURE"
            with m.State("FEATURE"):
                with m.If(self.access.word == Common.DEVICE_FEATURE):
                    use_features(DeviceWord.OFFERED_LOW, DeviceWord.OFFERED_HIGH)
                with m.Else():
                    use_features(DeviceWord.ACCEPTED_LOW, DeviceWord.ACCEPTED_HIGH)
                with m.If(beyond):
                    m.d.comb += state.address.slot.eq(VOID_SLOT)
                with m.If(self.access.write):
                    m.next = "WRITE"
                with m.Else():
                    m.next = "SHOW"

            with m.State("SHOW"):
                m.d.comb += [self.access.answer.eq(state.r_data), self.access.done.eq(1)]
                m.next = "IDLE"
                with m.Switch(self.access.word):
                    with m.Case(Common.STATUS_GENERATION_SELECT):
                        shown = data.View(Status, self.access.answer[:8])
                        m.d.comb += shown.needs_reset.eq(self.needs_reset)
                    with m.Case(Common.ENABLE_NOTIFY_OFF):
                        m.d.comb += [self.access.answer[8:16].eq(0), self.access.answer[24:].eq(0)]
                    with m.Case(Common.NOTIFY_DATA_RESET):
                        m.d.comb += self.access.answer.eq(QueueWord.reset(state.r_data) << 16)

            with m.State("LATCH"):
                m.d.sync += enabled.eq(QueueWord.enabled(state.r_data))
                m.next = "WRITE"
                with m.If(
                    (self.access.word == Common.STATUS_GENERATION_SELECT)
                    & self.access.lanes[0]
                    & wanted.features_ok
                    & ~status.features_ok
                ):
                    m.next = "LOW"
            with m.State("LOW"):
                use(DEVICE_SLOT, DeviceWord.ACCEPTED_LOW)
                m.next = "HIGH"
            with m.State("HIGH"):
                use(DEVICE_SLOT, DeviceWord.ACCEPTED_HIGH)
                m.d.sync += refused.eq(self._refuses(state.r_data, 0))
                self._keep(m, state.r_data, 0)
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += refused.eq(refused | self._refuses(state.r_data, 32))
                self._keep(m, state.r_data, 32)
                m.next = "WRITE"

            with m.State("WRITE"):
                use(slot, self.access.word[:3])
                m.d.comb += [
                    self.access.done.eq(1),
                    state.w_data.eq(rules.w_data),
                ]
                with m.If(~self.resetting):
                    m.d.comb += [
                        state.mask.eq(rules.mask),
                        self.event.reset.eq(rules.event.reset),
                        self.event.start.eq(rules.event.start),
                        self.event.service.eq(rules.event.service),
                    ]
                m.next = "IDLE"
                with m.Switch(self.access.word):
                    with m.Case(
                        Common.DEVICE_FEATURE_SELECT,
                        Common.DRIVER_FEATURE_SELECT,
                        Common.VECTOR_QUEUES,
                        Common.STATUS_GENERATION_SELECT,
                    ):
                        m.d.comb += state.address.slot.eq(DEVICE_SLOT)
                    with m.Case(Common.DRIVER_FEATURE):
                        use_features(DeviceWord.ACCEPTED_LOW, DeviceWord.ACCEPTED_HIGH)
                    with m.Case(Common.NOTIFY_DATA_RESET):
                        use(slot, QueueWord.FLAGS)
        return m

    def _refuses(self, accepted: Value, base: int) -> Value:
        """Features ``base`` to ``base + 31`` cannot be accepted like this (2.2.2)."""
        faults = [accepted[bit] for bit in range(32) if base + bit not in self.kind.features]
        faults += [
            accepted[feature - base] & ~accepted[needed - base]
            for feature, needed in self.kind.requires
            if base <= feature < base + 32
        ]
        if base <= RingFeature.VERSION_1 < base + 32:
            faults.append(~accepted[RingFeature.VERSION_1 - base])
        return Cat(faults).any()

    def _keep(self, m: Module, accepted: Value, base: int):
        """Put features ``base`` to ``base + 31`` on the port."""
        for function in range(self.functions):
            with m.If((self.access.function == function) & ~self.resetting):
                m.d.sync += [
                    self.features[function][feature].eq(accepted[feature - base])
                    for feature in self.kind.features
                    if base <= feature < base + 32
                ]
