"""The mailbox: requests, orders and resets joined."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from niter import csr
from niter.interface import MAX_FUNCTIONS, HostRead, HostWrite, MailboxPort

from .requests import Requests
from .transfer import Transfer

__all__ = ["Mailbox"]


class Mailbox(wiring.Component):
    """Implements ``niter.interface.mailbox`` for any number of engines.

    Parameters
    ----------
    ports
        Engines.
    functions
        Of all of them together; at most 8.
    copies
        Software can order copies. Without, there are no ports to host memory.

    Members
    -------
    engine : array of In(MailboxPort)
        The engines.
    read : Out(HostRead), write : Out(HostWrite)
        Host memory, with ``copies``.
    csr : In(csr.Signature)
        ``requests``, ``transfer`` and ``window``.
    """

    def __init__(self, ports: int, functions: int, *, copies: bool = True):
        self.ports = ports
        self.functions = functions
        self.copies = copies
        self._requests = Requests(ports, functions)
        self._transfer = Transfer(ports, functions, copies=copies)
        self._decoder = csr.Decoder(addr_width=11)
        self._decoder.add(self._transfer.window, name="window")
        self._decoder.add(self._requests.bus, name="requests")
        self._decoder.add(self._transfer.bus, name="transfer")
        super().__init__(
            {
                "engine": In(MailboxPort).array(ports),
                **({"read": Out(HostRead), "write": Out(HostWrite)} if copies else {}),
                "csr": In(csr.Signature(addr_width=11)),
            }
        )
        self.csr.memory_map = self._decoder.bus.memory_map

    @property
    def quota(self) -> int:
        """Messages of one function that may wait."""
        return self._requests.quota

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.decoder = self._decoder
        m.submodules.requests = requests = self._requests
        m.submodules.transfer = transfer = self._transfer
        connect(m, flipped(self.csr), self._decoder.bus)
        if self.copies:
            connect(m, transfer.read, flipped(self.read))
            connect(m, transfer.write, flipped(self.write))

        # A function belongs to one engine, so that any of them may speak for it.
        reset = Signal(MAX_FUNCTIONS)
        done = Signal(MAX_FUNCTIONS)
        for number, engine in enumerate(self.engine):
            connect(m, flipped(engine.request), requests.i[number])
            connect(m, transfer.o[number], flipped(engine.reply))
            m.d.comb += [engine.credit.eq(requests.credit), engine.reset_done.eq(done)]
        asked = 0
        for engine in self.engine:
            asked |= engine.reset
        m.d.comb += [
            reset.eq(asked),
            requests.reset.eq(reset),
            transfer.reset.eq(reset),
            requests.clear.eq(reset & ~done & ~transfer.working & ~requests.receiving),
        ]
        m.d.sync += done.eq(reset & (done | requests.clear))
        for mine, theirs in zip(requests.generation, transfer.generation, strict=True):
            m.d.comb += theirs.eq(mine)
        return m
