"""The control queue of virtio-net, answered in hardware as far as multiqueue needs it."""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import MAX_FUNCTIONS, HostRead, HostWrite
from niter.virtio.queue.layouts import Segment, Used

__all__ = ["Control"]


class Control(wiring.Component):
    """Executes VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET and refuses every other command.

    A command is a chain whose device-readable bytes are class, command and data, and whose
    first writable byte takes the answer (virtio 1.2, 5.1.6.5), in any arrangement of
    segments. One command is handled at a time.

    Parameters
    ----------
    pairs
        Queue pairs that each function has: the largest number that is accepted, 1 to 7.

    Members
    -------
    i : In(stream.Signature(Segment))
        Chains of the control queues.
    used : Out(stream.Signature(Used))
        Each chain goes back with the number of bytes written, 0 or 1.
    read : Out(HostRead)
        Fetches commands.
    write : Out(HostWrite)
        Stores answers; a chain is used after its answer was accepted here.
    ready : In(8)
        Functions whose driver is running: the others fall back to one pair.
    multiqueue : In(8)
        Functions that have negotiated VIRTIO_NET_F_MQ.
    active : Out(3), an array over functions
        Queue pairs that the device may use.
    """

    i: In(stream.Signature(Segment))
    used: Out(stream.Signature(Used))
    read: Out(HostRead)
    write: Out(HostWrite)
    ready: In(MAX_FUNCTIONS)
    multiqueue: In(MAX_FUNCTIONS)
    active: Out(data.ArrayLayout(3, MAX_FUNCTIONS))

    def __init__(self, pairs: int):
        if not 1 <= pairs <= 7:
            raise ValueError(f"A function has 1 to 7 queue pairs, not {pairs!r}")
        self.pairs = pairs
        super().__init__()

    def elaborate(self, platform):  # noqa: D102
        return Module()
