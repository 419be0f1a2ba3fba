"""What the transaction layer counts, and the header of what it last refused."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import Beat

from .choice import register_one_of
from .count import increment
from .header import TlpCommon, swap_dwords
from .layouts import Refused, TlpErrors

__all__ = ["COUNTERS", "TransactionStatistics"]

#: Bits of the small counters, of doublewords and of what comes at most once in a cycle: enough
#: for what can happen while all are visited, which takes some 140 cycles.
_SMALL, _SMALL_ONES = 10, 8

#: Names of the counters of traffic. Payload is counted in doublewords before it is in bytes.
_TRAFFIC = (
    "sent_tlps",
    "sent_payload_bytes",
    "received_tlps",
    "received_payload_bytes",
    "posted_stalls",
    "nonposted_stalls",
    "completion_stalls",
)

#: Names of the counters of errors.
_ERRORS = (
    "unsupported_requests",
    "completer_aborts",
    "poisoned",
    "unexpected_completions",
    "completion_timeouts",
    "malformed",
    "refused_reads",
)

#: All counters, in the order of their index.
COUNTERS = (*_TRAFFIC, *_ERRORS)

#: A transfer that somebody else makes.
_WATCHED = wiring.Signature({"payload": Out(Beat), "valid": Out(1)})


class TransactionStatistics(wiring.Component):
    """Counters of traffic, of waiting for credits, and of errors.

    Events are counted in small counters; a sequencer goes through them and adds what has come
    since its last visit to 64-bit counters in RAM. So a counter is up to some hundred cycles
    behind. Of errors of one kind no more than three are counted at each visit.

    Members
    -------
    sent, received : In({"payload": Beat, "valid": 1})
        Beats of TLPs sent, and of TLPs received, whatever they prove to be. Bytes are those
        that their headers promise.
    starved : In(3)
        A posted, a non-posted, a completion TLP waits for credits in this cycle.
    errors : In(TlpErrors)
        Strobes.
    refuse : In(1), refused : In(Refused)
        Strobe: a received TLP was malformed, poisoned or not supported.
    csr : In(csr.Signature)
        ``counters``, ``header`` and ``refused``.
    """

    class Status(csr.Register, access="r"):
        """What was wrong with the TLP in ``header``: neither bit, and it was not supported."""

        malformed: csr.Field(csr.action.R, 1, doc="Format, type or length do not exist or agree.")
        poisoned: csr.Field(csr.action.R, 1, doc="EP was set.")

    def __init__(self):
        self._bank = csr.CounterBank(
            list(COUNTERS),
            amount_width=_SMALL + 2,
            doc="TLPs and bytes of payload sent and received; cycles in which a TLP waited for "
            "credits; errors.",
        )
        self._status = self.Status()
        builder = csr.Builder(addr_width=0)
        builder.add("status", self._status)
        self._bridge = csr.Bridge(builder.as_memory_map())
        self._header = csr.Signature(addr_width=2).flip().create()
        header_map = csr.MemoryMap(addr_width=2)
        header_map.add_resource(
            csr.WordArray(
                4,
                "Header of the received TLP that was last refused: malformed, poisoned, or a "
                "request that nothing here supports. Bytes in the order of the link; of a shorter "
                "TLP the rest means nothing.",
                access="r",
            ),
            name="words",
            size=4,
        )
        self._header.memory_map = header_map
        self._decoder = csr.Decoder(addr_width=self._bank.bus.addr_width + 1)
        self._decoder.add(self._bank.bus, name="counters")
        self._decoder.add(self._header, name="header")
        self._decoder.add(self._bridge.bus, name="refused")
        super().__init__(
            {
                "sent": In(_WATCHED),
                "received": In(_WATCHED),
                "starved": In(3),
                "errors": In(TlpErrors),
                "refuse": In(1),
                "refused": In(Refused),
                "csr": In(csr.Signature(addr_width=self._decoder.bus.addr_width)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.bank = bank = self._bank
        m.submodules.bridge = self._bridge
        m.submodules.decoder = self._decoder
        connect(m, flipped(self.csr), self._decoder.bus)

        kept = Signal(Refused)
        with m.If(self.refuse):
            m.d.sync += kept.eq(self.refused)
        fields = self._status.f
        m.d.comb += [
            fields.malformed.r_data.eq(kept.malformed),
            fields.poisoned.r_data.eq(kept.poisoned),
        ]
        dwords = Cat(kept.first, kept.second)
        header = self._header
        m.d.comb += header.r_data.eq(
            register_one_of(
                m,
                "dword",
                1,
                ((header.r_stb & (header.addr == n), dwords.word_select(n, 32)) for n in range(4)),
            )
        )

        # A small counter that is picked starts anew, with what comes in that very cycle. It is
        # not picked when TLPs begin, so that this is a bit.
        traffic, errors = self._events(m)
        index = Signal(4)
        picking = Signal()
        # How many are to be looked at until all have been since something happened.
        left = Signal(range(len(COUNTERS) + 1))
        waiting = []
        for number, (name, amount) in enumerate(traffic.items()):
            one = len(Value.cast(amount)) == 1
            small = Signal(_SMALL_ONES if one else _SMALL, name=name, reset_less=True)
            m.d.sync += small.eq(increment(small, amount) if one else small + amount)
            with m.If(picking & (index == number)):
                m.d.sync += small.eq(amount if name.endswith("stalls") else 0)
            waiting.append(small)
        # Of errors no more than three wait.
        for number, (name, error) in enumerate(errors.items(), len(_TRAFFIC)):
            some = Signal(2, name=name)
            with m.If(picking & (index == number)):
                m.d.sync += some.eq(error)
            with m.Elif(error & ~some.all()):
                m.d.sync += some.eq(some + 1)
            waiting.append(some)

        since = register_one_of(
            m, "since", picking, ((index == n, each) for n, each in enumerate(waiting))
        )
        is_bytes = Array(Const(name.endswith("bytes"), 1) for name in COUNTERS)[index]
        m.d.comb += [
            bank.i.payload.index.eq(index),
            bank.i.payload.amount.eq(Mux(is_bytes, since << 2, since)),
        ]
        begins = traffic["sent_tlps"] | traffic["received_tlps"]
        with m.FSM():
            with m.State("Pick"), m.If(~begins & (left != 0)):
                m.d.comb += picking.eq(1)
                m.d.sync += left.eq(left - 1)
                m.next = "Add"
            with m.State("Add"):
                m.d.comb += bank.i.valid.eq(since != 0)
                with m.If(~bank.i.valid | bank.i.ready):
                    m.d.sync += index.eq(Mux(index == len(COUNTERS) - 1, 0, index + 1))
                    m.next = "Pick"
        with m.If(begins | self.starved.any() | Cat(errors.values()).any()):
            m.d.sync += left.eq(len(COUNTERS))
        return m

    def _events(self, m) -> tuple[dict, dict]:
        """By how much each counter of traffic grows in this cycle, and which errors there are."""
        errors = self.errors
        found = dict(
            zip(
                _ERRORS,
                (
                    errors.unsupported_request | errors.advisory_unsupported,
                    errors.advisory_abort,
                    errors.poisoned | errors.advisory_poisoned,
                    errors.unexpected_completion,
                    errors.completion_timeout,
                    errors.malformed,
                    errors.received_master_abort | errors.received_target_abort,
                ),
                strict=True,
            )
        )
        traffic = []
        for side, port in (("sent", self.sent), ("received", self.received)):
            inside = Signal(name=f"{side}_inside")
            begins = Signal(name=f"{side}_begins")
            common = TlpCommon(swap_dwords(port.payload.data[:32]))
            with m.If(port.valid):
                m.d.sync += inside.eq(~port.payload.last)
            m.d.comb += begins.eq(port.valid & ~inside)
            traffic += [begins, Mux(begins & common.fmt[1], common.length, 0)]
        return dict(zip(_TRAFFIC, (*traffic, *self.starved), strict=True)), found
