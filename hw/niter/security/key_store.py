"""Keys that software can load, derive and use, and never read."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr

from . import key_registers
from .hash_job import HashJob
from .hashing import HashPort
from .key_memory import KEY_WORDS, KeyMemory
from .key_registers import KeyCommand
from .key_slots import KeySlots

__all__ = ["KEY_WORDS", "KeyStore", "KeyWord"]

#: The counter of SP 800-56C, 1 as a big-endian word.
_COUNTER = int.from_bytes((1).to_bytes(4, "big"), "little")


class KeyWord(data.Struct):
    """A word of a key on its way to the cipher, or with ``erase`` the order to forget the slot."""

    slot: 4
    index: 4
    erase: 1
    data: 32


class _Phase(enum.Enum, shape=3):
    """What the store does."""

    IDLE = 0
    DERIVE = 1
    EXPORT = 2
    #: Overwriting the memory.
    WIPE = 3
    #: Telling the cipher.
    FORGET = 4
    #: On the way to overwriting everything.
    ABANDON = 5


class KeyStore(wiring.Component):
    """Slots of 512 bits with usage and lock.

    A derived key is SHA-512 of the number 1 (32 bits, big-endian), the source's 64 bytes, and 64
    bytes of ``info``: the one-step key derivation of SP 800-56C, 4.1, with a hash, of one round.
    It takes about 350 cycles. It goes into a slot, or, if the source was loaded with ``disclose``,
    to software: this is for keys that software itself computes with, as a boot ROM does with
    those it derives from a device secret before it locks that.

    The memory has one reader beside the hash engine, the stream ``export`` to the cipher; the
    registers have no path from it. Zeroising drops the slots' state at once, then
    overwrites the memory (512 cycles for all, 16 for one), and orders the cipher to forget
    the slots. It happens on command, while ``tamper`` is high, and after every reset. A
    derivation that it meets is lost.

    A command that is not allowed does nothing and sets ``refused``: a slot that is locked, a LOAD
    that did not get exactly sixteen words, a source that is empty, locked or not for derivation,
    a DERIVE without exactly sixteen words of ``info`` or while the hash engine is in use,
    anything but ZEROISE_ALL while busy.

    Parameters
    ----------
    slots
        Number of slots, a power of two up to 16.

    Members
    -------
    hash : Out(HashPort)
        The hash engine.
    export : Out(stream.Signature(KeyWord))
        Keys for storage, to the cipher; ``ready`` at once where there is none.
    usable : Out(16)
        Slots whose key may encrypt storage, as of now.
    tamper : In(1)
        Forget everything.
    bus : In(csr.Signature)
        Commands.
    """

    def __init__(self, slots: int = 16):
        if slots not in (2, 4, 8, 16):
            raise ValueError(f"Slots must be 2, 4, 8 or 16, not {slots!r}")
        self.slots = slots
        registers = csr.Builder(addr_width=4)
        self._slot = registers.add("slot", key_registers.Slot())
        self._key = registers.add("key", key_registers.Key())
        self._info = registers.add("info", key_registers.Info())
        self._command = registers.add("command", key_registers.Command())
        self._status = registers.add("status", key_registers.Status())
        self._loaded = registers.add("loaded", key_registers.Loaded())
        self._locked = registers.add("locked", key_registers.Locked())
        self._usage = registers.add("usage", key_registers.Usage())
        self._derived = registers.add("derived", key_registers.Derived())
        self._bridge = csr.Bridge(registers.as_memory_map())
        self._memory = KeyMemory(slots)
        # What proofs are about.
        self._write = self._memory.write
        self._phase = Signal(_Phase, init=_Phase.WIPE)
        self._every = Signal(init=1)
        self._opened = Signal()
        self._active = Signal(ceil_log2(slots))
        self._position = Signal(ceil_log2(slots) + 5)
        self._slots = KeySlots(slots)
        self._lock = self._slots.locked
        self._disclosing = Signal()
        super().__init__(
            {
                "hash": Out(HashPort),
                "export": Out(stream.Signature(KeyWord)),
                "usable": Out(16),
                "tamper": In(1),
                "bus": In(csr.Signature(addr_width=4)),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        m.submodules.memory = memory = self._memory
        m.submodules.job = job = HashJob(KEY_WORDS, long=True, prefix=_COUNTER)
        wiring.connect(m, wiring.flipped(self.bus), self._bridge.bus)
        wiring.connect(m, job.hash, wiring.flipped(self.hash))
        phase, every, opened = self._phase, self._every, self._opened
        slot, address = self._active, self._position
        m.submodules.slots = slots = self._slots
        disclosing = self._disclosing
        command = self._command.f

        refused = Signal()
        asked = self._slot.f.index.data[: len(slot)]
        m.d.comb += [
            slots.slot.eq(self._slot.f.index.data),
            slots.source.eq(command.source.w_data),
            slots.active.eq(slot),
        ]

        code = command.code.w_data
        strobe = command.code.w_stb & (code != KeyCommand.NONE)
        idle = Signal()
        allowed = Signal()
        tamper_before = Signal()
        wipe_all = Signal()
        m.d.sync += tamper_before.eq(self.tamper)
        m.d.comb += [
            idle.eq((phase == _Phase.IDLE) & ~job.busy & ~self.tamper),
            wipe_all.eq(
                (self.tamper & ~tamper_before) | (strobe & (code == KeyCommand.ZEROISE_ALL))
            ),
        ]
        with m.If(strobe):
            m.d.sync += refused.eq(~allowed)

        export = self.export.payload
        m.d.comb += [
            memory.slot.eq(slot),
            memory.position.eq(address),
            memory.job.eq(job.busy),
            memory.index.eq(job.index),
            memory.section.eq(job.section),
            job.data.eq(memory.word),
            memory.key.eq(self._key.f.data.w_stb & opened),
            memory.info.eq(self._info.f.data.w_stb & idle),
            # Both registers are written from the same wires.
            memory.given.eq(self._key.f.data.w_data),
            memory.stored.eq(job.stored),
            # What is not disclosed is taken at once, and waits for no register.
            memory.store.eq((phase == _Phase.DERIVE) & job.found & ~disclosing),
            memory.wipe.eq(phase == _Phase.WIPE),
            memory.every.eq(every),
            export.slot.eq(slot),
            export.index.eq(address),
            export.data.eq(memory.word & (~export.erase).replicate(32)),
        ]

        shown = Signal()
        with m.Switch(phase):
            with m.Case(_Phase.IDLE):
                m.d.sync += address.eq(0)
                with m.If(strobe & idle), m.Switch(code):
                    with m.Case(KeyCommand.LOAD):
                        m.d.comb += allowed.eq(slots.unlocked & slots.in_range)
                        with m.If(allowed):
                            m.d.sync += [opened.eq(1), slot.eq(asked)]
                            m.d.comb += [memory.key_anew.eq(1), slots.forget.eq(1)]
                    with m.Case(KeyCommand.COMMIT):
                        m.d.comb += allowed.eq(
                            opened & (slot == asked) & slots.in_range & memory.key_whole
                        )
                        with m.If(allowed):
                            m.d.sync += phase.eq(_Phase.EXPORT)
                    with m.Case(KeyCommand.DERIVE):
                        m.d.comb += [
                            allowed.eq(
                                Mux(command.disclose.w_data, slots.discloses, slots.unlocked)
                                & slots.in_range
                                & slots.derives
                                & memory.info_whole
                                & self.hash.free
                            ),
                            job.start.eq(allowed),
                        ]
                        with m.If(allowed):
                            m.d.sync += [
                                opened.eq(0),
                                memory.source.eq(command.source.w_data),
                                disclosing.eq(command.disclose.w_data),
                                phase.eq(_Phase.DERIVE),
                            ]
                            with m.If(~command.disclose.w_data):
                                m.d.sync += slot.eq(asked)
                                m.d.comb += slots.forget.eq(1)
                        # What was given is for one derivation, or for none.
                        m.d.comb += memory.info_anew.eq(1)
                    with m.Case(KeyCommand.LOCK):
                        m.d.comb += [allowed.eq(slots.in_range), slots.lock.eq(allowed)]
                        with m.If(allowed & (slot == asked)):
                            m.d.sync += opened.eq(0)
                    with m.Case(KeyCommand.ZEROISE):
                        m.d.comb += [allowed.eq(slots.in_range), slots.forget.eq(allowed)]
                        with m.If(allowed):
                            m.d.sync += [
                                opened.eq(0),
                                slot.eq(asked),
                                every.eq(0),
                                phase.eq(_Phase.WIPE),
                            ]
                with m.If(strobe & allowed):
                    m.d.sync += [
                        slots.storage.eq(command.storage.w_data),
                        slots.derive.eq(command.derive.w_data),
                        slots.disclose.eq(command.disclose.w_data),
                    ]
            with m.Case(_Phase.DERIVE):
                with m.If(disclosing):
                    m.d.comb += [
                        job.take.eq(self._derived.r_stb),
                        shown.eq(self.hash.digest.valid),
                    ]
                with m.If(~job.busy):
                    m.d.sync += phase.eq(Mux(disclosing, _Phase.IDLE, _Phase.EXPORT))
            with m.Case(_Phase.EXPORT):
                # The word stands there a cycle after its address.
                m.d.sync += self.export.valid.eq(slots.storage)
                with m.If(~slots.storage | (self.export.valid & self.export.ready)):
                    m.d.sync += [self.export.valid.eq(0), address.eq(address + 1)]
                    with m.If(~slots.storage | address[:4].all()):
                        m.d.comb += slots.keep.eq(1)
                        m.d.sync += [opened.eq(0), phase.eq(_Phase.IDLE)]
            with m.Case(_Phase.WIPE):
                m.d.sync += address.eq(address + 1)
                with m.If(Mux(every, address.all(), address[:4].all())):
                    m.d.sync += [
                        export.erase.eq(1),
                        self.export.valid.eq(1),
                        phase.eq(_Phase.FORGET),
                    ]
                    with m.If(every):
                        m.d.sync += slot.eq(0)
            with m.Case(_Phase.FORGET), m.If(self.export.ready):
                m.d.sync += slot.eq(slot + 1)
                with m.If(~every | slot.all()):
                    m.d.sync += [
                        self.export.valid.eq(0),
                        export.erase.eq(0),
                        phase.eq(_Phase.IDLE),
                    ]
            with m.Case(_Phase.ABANDON):
                # A word that is offered to the cipher must be taken before anything else is.
                m.d.sync += [address.eq(0), every.eq(1)]
                with m.If(self.export.ready | ~self.export.valid):
                    m.d.sync += [
                        self.export.valid.eq(0),
                        export.erase.eq(0),
                        phase.eq(_Phase.WIPE),
                    ]
        with m.If(wipe_all):
            m.d.comb += [allowed.eq(1), slots.forget_all.eq(1), memory.info_anew.eq(1)]
            m.d.sync += [opened.eq(0), phase.eq(_Phase.ABANDON)]

        m.d.comb += [
            self.usable.eq(slots.for_storage),
            self._status.f.busy.r_data.eq(~idle),
            self._status.f.refused.r_data.eq(refused),
            self._status.f.tamper.r_data.eq(self.tamper),
            self._status.f.disclosed.r_data.eq(shown),
            self._derived.f.data.r_data.eq(self.hash.digest.payload.data & shown.replicate(32)),
            self._loaded.f.slots.r_data.eq(slots.loaded),
            self._loaded.f.disclose.r_data.eq(slots.for_disclose),
            self._locked.f.slots.r_data.eq(slots.locked),
            self._usage.f.storage.r_data.eq(slots.for_storage),
            self._usage.f.derive.r_data.eq(slots.for_derive),
        ]
        return m
