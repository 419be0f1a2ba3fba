"""Stands between the card and its SPI flash, and lets through what does no harm."""

from typing import Any

from amaranth import Cat, Module, Shape, Signal, Value
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from niter import csr

__all__ = ["BLOCK_BYTES", "FlashGuard", "Opcode", "SpiBus"]

#: Unit of the regions: what the largest erase command takes.
BLOCK_BYTES = 64 << 10

#: The wires of a SPI flash, seen from the controller.
SpiBus = wiring.Signature({"cs_n": Out(1, init=1), "sck": Out(1), "copi": Out(1), "cipo": In(1)})


class Opcode(enum.Enum, shape=8):
    """The commands that pass. Everything else is cut off before its last bit."""

    PAGE_PROGRAM = 0x02
    READ = 0x03
    WRITE_DISABLE = 0x04
    READ_STATUS_1 = 0x05
    WRITE_ENABLE = 0x06
    FAST_READ = 0x0B
    READ_STATUS_3 = 0x15
    ERASE_4K = 0x20
    READ_STATUS_2 = 0x35
    ERASE_32K = 0x52
    READ_PARAMETERS = 0x5A
    READ_IDENTITY = 0x9F
    ERASE_64K = 0xD8


_READS = (Opcode.READ, Opcode.FAST_READ)
_CHANGES = (Opcode.PAGE_PROGRAM, Opcode.ERASE_4K, Opcode.ERASE_32K, Opcode.ERASE_64K)


class _Kept(csr.action.Action):
    """Read and written by software until frozen; a reset of the clock domain leaves it.

    Members
    -------
    frozen : In(1)
        Writes are ignored.
    clear : In(1)
        Back to the initial value.
    data : Out(shape)
        The value.
    """

    access = "rw"

    def __init__(self, shape: Any):
        super().__init__(shape, {"frozen": In(1), "clear": In(1), "data": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        value = Signal(Shape.cast(self.shape), reset_less=True)
        m.d.comb += [self.bits_read.eq(value), Value.cast(self.data).eq(value)]
        with m.If(self.clear):
            m.d.sync += value.eq(0)
        with m.Elif(self.written & ~self.frozen):
            m.d.sync += value.eq(self.bits_written)
        return m


class _Writable(csr.Register, access="rw"):
    """Blocks of 64 KiB that may be programmed and erased; none unless enabled."""

    first: csr.Field(_Kept, 8, doc="First block.")
    last: csr.Field(_Kept, 8, doc="Last block, included.")
    enable: csr.Field(_Kept, 1)


class _Secret(csr.Register, access="rw"):
    """Blocks of 64 KiB that cannot be read once ``lock`` is set."""

    first: csr.Field(_Kept, 8, doc="First block.")
    last: csr.Field(_Kept, 8, doc="Last block, included.")
    enable: csr.Field(_Kept, 1)


class _Lock(csr.Register, access="rw"):
    """Freezes the regions and hides the secret ones until the whole card is reset."""

    set: csr.Field(_Kept, 1, doc="Write one; it stays.")


class _Denied(csr.Register, access="rw"):
    """What was cut off."""

    opcode: csr.Field(csr.action.R, 8, doc="Of the last command that was.")
    any: csr.Field(csr.action.RW1C, 1, doc="There was one.")


class FlashGuard(wiring.Component):
    """A filter on the wires of a SPI flash (single-bit, mode 0, 24-bit addresses).

    It reads along. The eighth bit of a command decides whether it is one that passes
    (:class:`Opcode`), the sixteenth, the last of the block's number, whether it stays in its
    region: program and erase in the writable one, reads outside of the secret one once locked. A
    read that runs on into the secret region ends there. What is denied never gets the clock edge
    that would complete that bit; chip select rises instead, and a flash ignores a command that
    ends in the middle of a byte. The controller reads zeros to the end of its transfer.

    Write enable passes: without a program or erase behind it, it does nothing, and no write of a
    status register passes. Suspend, reset, power down, four-byte addresses, quad modes, one-time
    programmable areas and chip erase do not pass.

    All wires to the flash are delayed by one cycle. The rules hold for any timing of the
    controller's wires, because flash and guard see the same registered levels; what is read comes
    a cycle later than without it, so a phase of ``sck`` lasts two cycles or more.

    Parameters
    ----------
    flash_bytes
        Size of the flash, a power of two up to 16 MiB. It ignores higher address bits, and so does
        the guard.

    Members
    -------
    controller : In(SpiBus)
        From the controller.
    flash : Out(SpiBus)
        To the pins.
    card_reset : In(1)
        Opens the lock: only the reset that also restarts the boot ROM and empties keys and
        measurements, or nothing at all.
    bus : In(csr.Signature)
        Regions and lock. They survive a reset of the clock domain.
    """

    def __init__(self, flash_bytes: int = 16 << 20):
        if flash_bytes not in [BLOCK_BYTES << shift for shift in range(1, 9)]:
            raise ValueError(
                f"The flash has a power of two bytes from 128 KiB to 16 MiB, not {flash_bytes!r}"
            )
        self.flash_bytes = flash_bytes
        registers = csr.Builder(addr_width=2)
        self._writable = registers.add("writable", _Writable())
        self._secret = registers.add("secret", _Secret())
        self._lock = registers.add("lock", _Lock())
        self._denied = registers.add("denied", _Denied())
        self._bridge = csr.Bridge(registers.as_memory_map())
        super().__init__(
            {
                "controller": In(SpiBus),
                "flash": Out(SpiBus),
                "card_reset": In(1),
                "bus": In(csr.Signature(addr_width=2)),
            }
        )
        self.bus.memory_map = self._bridge.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bridge = self._bridge
        wiring.connect(m, wiring.flipped(self.bus), self._bridge.bus)
        locked = self._lock.f.set.data
        for register in (self._writable, self._secret, self._lock):
            for _, action in register.f:
                m.d.comb += [action.frozen.eq(locked), action.clear.eq(self.card_reset)]

        pins, flash = self.controller, self.flash
        # The clock has been low since chip select fell.
        armed = Signal()
        before = Signal()
        rise, fall = Signal(), Signal()
        opcode = Signal(8)
        next_opcode = Signal(8)
        address = Signal(24)
        next_address = Signal(24)
        # Bits taken, up to the end of the header; then only their number in the byte counts.
        count = Signal(6)
        blocked = Signal()
        deny = Signal()
        m.d.comb += [
            rise.eq(armed & pins.sck & ~before & ~pins.cs_n & ~blocked),
            fall.eq(armed & ~pins.sck & before & ~pins.cs_n),
            next_opcode.eq(Cat(pins.copi, opcode)),
            next_address.eq(Cat(pins.copi, address)),
        ]
        bits = (self.flash_bytes // BLOCK_BYTES).bit_length() - 1

        def inside(block, region):
            block = block[:bits]
            return (
                region.f.enable.data
                & (block >= region.f.first.data[:bits])
                & (block <= region.f.last.data[:bits])
            )

        fast = opcode == Opcode.FAST_READ.value
        is_read = opcode.matches(*(each.value for each in _READS))
        is_change = opcode.matches(*(each.value for each in _CHANGES))
        here = next_address[:8]
        wrong_place = (is_change & ~inside(here, self._writable)) | (
            is_read & locked & inside(here, self._secret)
        )
        unknown = ~next_opcode.matches(*(each.value for each in Opcode))
        m.d.comb += deny.eq(rise & (((count == 7) & unknown) | ((count == 15) & wrong_place)))
        with m.If(rise):
            with m.If(count < 8):
                m.d.sync += opcode.eq(next_opcode)
            with m.Elif(count < 32):
                m.d.sync += address.eq(next_address)
            with m.If(count < 40):
                m.d.sync += count.eq(count + 1)
            with m.Else():
                m.d.sync += count[:3].eq(count[:3] + 1)
            # Where the byte behind this one comes from. The dummy byte counts 32 to 39.
            with m.If((count[:3] == 7) & (count >= 32) & ((count >= 40) | ~fast)):
                m.d.sync += address.eq(address + 1)
        entering = is_read & locked & inside(address[16:24], self._secret)
        with m.If(deny | (fall & (count >= 32) & (count[:3] == 0) & entering)):
            m.d.sync += [
                blocked.eq(1),
                self._denied.f.opcode.r_data.eq(opcode),
            ]
            with m.If(count == 7):
                m.d.sync += self._denied.f.opcode.r_data.eq(next_opcode)
            m.d.comb += self._denied.f.any.set.eq(1)
        m.d.sync += before.eq(pins.sck)
        with m.If(pins.cs_n):
            m.d.sync += [armed.eq(0), blocked.eq(0), count.eq(0)]
        with m.Elif(~pins.sck):
            m.d.sync += armed.eq(1)

        m.d.sync += [
            flash.cs_n.eq(pins.cs_n | blocked | deny),
            flash.sck.eq(pins.sck & armed & ~pins.cs_n & ~blocked & ~deny),
            flash.copi.eq(pins.copi),
        ]
        m.d.comb += pins.cipo.eq(flash.cipo & ~blocked)
        return m
