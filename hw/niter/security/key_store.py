"""Keys that software can load, derive and use, and never read."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from niter import csr
from niter.ram import Ram

from . import key_registers
from .hash_job import HashJob
from .hashing import HashPort
from .key_registers import KeyCommand

__all__ = ["KEY_WORDS", "KeyStore", "KeyWord"]

#: 32-bit words of a slot: 512 bits, the two keys of AES-256-XTS.
KEY_WORDS = 16

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
    It takes about 300 cycles. It goes into a slot, or, if the source was loaded with ``disclose``,
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
        self._storage = Ram(shape=32, depth=2 * slots * KEY_WORDS, init=[])
        # The memory's only ports, and the state that proofs are about.
        self._write = self._storage.write_port()
        self._read = self._storage.read_port()
        self._phase = Signal(_Phase, init=_Phase.WIPE)
        self._every = Signal(init=1)
        self._opened = Signal()
        self._active = Signal(ceil_log2(slots))
        self._position = Signal(ceil_log2(slots) + 5)
        self._lock = Signal(slots)
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
        m.submodules.storage = self._storage
        m.submodules.job = job = HashJob(KEY_WORDS, long=True, prefix=_COUNTER)
        wiring.connect(m, wiring.flipped(self.bus), self._bridge.bus)
        wiring.connect(m, job.hash, wiring.flipped(self.hash))
        read, write = self._read, self._write
        phase, every, opened = self._phase, self._every, self._opened
        slot, address, locked = self._active, self._position, self._lock
        disclosing = self._disclosing
        width = ceil_log2(self.slots)
        command = self._command.f

        loaded, storage, derive, disclose = (
            Signal(self.slots, name=name) for name in ("loaded", "storage", "derive", "disclose")
        )
        refused = Signal()
        source = Signal(width)
        use_storage, use_derive, use_disclose = Signal(), Signal(), Signal()
        # Sixteen words of each kind; one more shows that there were too many.
        given_key, given_info = Signal(5), Signal(5)
        asked = self._slot.f.index.data[:width]
        asked_source = command.source.w_data[:width]
        in_range = (self._slot.f.index.data >> width == 0) & (command.source.w_data >> width == 0)

        def at(index):
            return (C(1, self.slots) << index)[: self.slots]

        code = command.code.w_data
        strobe = command.code.w_stb & (code != KeyCommand.NONE)
        idle = Signal()
        allowed = Signal()
        unlocked = ~(locked & at(asked)).any()
        source_good = (loaded & derive & ~locked & at(asked_source)).any()
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
            job.data.eq(read.data),
            read.addr.eq(
                Mux(
                    job.busy,
                    Cat(job.index, Mux(job.section, C(0, width), source), job.section),
                    Cat(address[:4], slot, C(0, 1)),
                )
            ),
            export.slot.eq(slot),
            export.index.eq(address),
            export.data.eq(read.data & (~export.erase).replicate(32)),
        ]

        put_key = self._key.f.data.w_stb
        put_info = self._info.f.data.w_stb
        with m.If(put_key & opened):
            m.d.sync += given_key.eq(Mux(given_key > KEY_WORDS, given_key, given_key + 1))
        with m.If(put_info & idle):
            m.d.sync += given_info.eq(Mux(given_info > KEY_WORDS, given_info, given_info + 1))
        with m.If(put_info):
            m.d.comb += [
                write.addr.eq(Cat(given_info[:4], C(0, width), C(1, 1))),
                write.data.eq(self._info.f.data.w_data),
                write.en.eq(idle & (given_info < KEY_WORDS)),
            ]
        with m.Else():
            m.d.comb += [
                write.addr.eq(Cat(given_key[:4], slot, C(0, 1))),
                write.data.eq(self._key.f.data.w_data),
                write.en.eq(put_key & opened & (given_key < KEY_WORDS)),
            ]

        shown = Signal()
        with m.Switch(phase):
            with m.Case(_Phase.IDLE):
                m.d.sync += address.eq(0)
                with m.If(strobe & idle), m.Switch(code):
                    with m.Case(KeyCommand.LOAD):
                        m.d.comb += allowed.eq(unlocked & in_range)
                        with m.If(allowed):
                            m.d.sync += [
                                opened.eq(1),
                                slot.eq(asked),
                                given_key.eq(0),
                                loaded.eq(loaded & ~at(asked)),
                            ]
                    with m.Case(KeyCommand.COMMIT):
                        m.d.comb += allowed.eq(
                            opened & (slot == asked) & in_range & (given_key == KEY_WORDS)
                        )
                        with m.If(allowed):
                            m.d.sync += phase.eq(_Phase.EXPORT)
                    with m.Case(KeyCommand.DERIVE):
                        m.d.comb += [
                            allowed.eq(
                                Mux(
                                    command.disclose.w_data,
                                    (disclose & at(asked_source)).any(),
                                    unlocked,
                                )
                                & in_range
                                & source_good
                                & (given_info == KEY_WORDS)
                                & self.hash.free
                            ),
                            job.start.eq(allowed),
                        ]
                        with m.If(allowed):
                            m.d.sync += [
                                opened.eq(0),
                                source.eq(asked_source),
                                disclosing.eq(command.disclose.w_data),
                                phase.eq(_Phase.DERIVE),
                            ]
                            with m.If(~command.disclose.w_data):
                                m.d.sync += [slot.eq(asked), loaded.eq(loaded & ~at(asked))]
                        # What was given is for one derivation, or for none.
                        m.d.sync += given_info.eq(0)
                    with m.Case(KeyCommand.LOCK):
                        m.d.comb += allowed.eq(in_range)
                        with m.If(allowed):
                            m.d.sync += locked.eq(locked | at(asked))
                            with m.If(slot == asked):
                                m.d.sync += opened.eq(0)
                    with m.Case(KeyCommand.ZEROISE):
                        m.d.comb += allowed.eq(in_range)
                        with m.If(allowed):
                            m.d.sync += [
                                opened.eq(0),
                                slot.eq(asked),
                                loaded.eq(loaded & ~at(asked)),
                                every.eq(0),
                                phase.eq(_Phase.WIPE),
                            ]
                with m.If(strobe & allowed):
                    m.d.sync += [
                        use_storage.eq(command.storage.w_data),
                        use_derive.eq(command.derive.w_data),
                        use_disclose.eq(command.disclose.w_data),
                    ]
            with m.Case(_Phase.DERIVE):
                m.d.comb += [
                    write.addr.eq(Cat(job.index, slot, C(0, 1))),
                    write.data.eq(job.stored),
                    write.en.eq(job.store & ~disclosing),
                ]
                with m.If(disclosing):
                    m.d.comb += [
                        job.take.eq(self._derived.r_stb),
                        shown.eq(self.hash.digest.valid),
                    ]
                with m.If(~job.busy):
                    m.d.sync += phase.eq(Mux(disclosing, _Phase.IDLE, _Phase.EXPORT))
            with m.Case(_Phase.EXPORT):
                # The word stands there a cycle after its address.
                m.d.sync += self.export.valid.eq(use_storage)
                with m.If(~use_storage | (self.export.valid & self.export.ready)):
                    m.d.sync += [self.export.valid.eq(0), address.eq(address + 1)]
                    with m.If(~use_storage | address[:4].all()):
                        m.d.sync += [
                            opened.eq(0),
                            loaded.eq(loaded | at(slot)),
                            storage.eq(Mux(use_storage, storage | at(slot), storage & ~at(slot))),
                            derive.eq(Mux(use_derive, derive | at(slot), derive & ~at(slot))),
                            disclose.eq(
                                Mux(use_disclose, disclose | at(slot), disclose & ~at(slot))
                            ),
                            phase.eq(_Phase.IDLE),
                        ]
            with m.Case(_Phase.WIPE):
                m.d.comb += [
                    write.addr.eq(Mux(every, address, Cat(address[:4], slot, C(0, 1)))),
                    write.data.eq(0),
                    write.en.eq(1),
                ]
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
            m.d.comb += allowed.eq(1)
            m.d.sync += [
                loaded.eq(0),
                opened.eq(0),
                given_info.eq(0),
                phase.eq(_Phase.ABANDON),
            ]

        m.d.comb += [
            self.usable.eq(loaded & storage),
            self._status.f.busy.r_data.eq(~idle),
            self._status.f.refused.r_data.eq(refused),
            self._status.f.tamper.r_data.eq(self.tamper),
            self._status.f.disclosed.r_data.eq(shown),
            self._derived.f.data.r_data.eq(self.hash.digest.payload.data & shown.replicate(32)),
            self._loaded.f.slots.r_data.eq(loaded),
            self._loaded.f.disclose.r_data.eq(loaded & disclose),
            self._locked.f.slots.r_data.eq(locked),
            self._usage.f.storage.r_data.eq(loaded & storage),
            self._usage.f.derive.r_data.eq(loaded & derive),
        ]
        return m
