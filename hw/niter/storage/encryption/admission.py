"""Which requests may pass, and what of one the data path has to know."""

from amaranth import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from niter.interface import BlockOpcode, BlockRequest, BlockStatus
from niter.storage.volumes import MAX_VOLUMES, KeyWrite, VolumeKey, VolumeMode

__all__ = ["Admission", "Located"]


class Located(data.Struct):
    """Of a request in flight: where its first sector is, and how its data is treated."""

    lba: 56
    slot: 4
    encrypted: 1


class Admission(wiring.Component):
    """Lets requests pass, or ends them here.

    A request passes when its volume is open, and, if it moves data of an encrypted volume, the key
    is there. On an encrypted volume WRITE_ZEROES is ``UNSUPPORTED``: the target's zeros would not
    decrypt to zeros. All else ends with ``INTERNAL``. A request takes three cycles or more.

    Members
    -------
    i : In(stream.Signature(BlockRequest))
        Requests of the front end.
    o : Out(stream.Signature(BlockRequest))
        Those that pass.
    refused : Out(stream.Signature(BlockStatus))
        How the request at ``i`` ends; it is taken together with this.
    good : In(16)
        Key slots that can be used.
    admit : Out(1)
        Remember ``located`` for the tag at ``i``, which is about to pass.
    wait : In(1)
        Not in this cycle.
    located : Out(Located)
        What to remember.
    key : In(KeyWrite)
        What control says of a volume. It is kept through a reset.
    """

    i: In(stream.Signature(BlockRequest))
    o: Out(stream.Signature(BlockRequest))
    refused: Out(stream.Signature(BlockStatus))
    good: In(16)
    admit: Out(1)
    wait: In(1)
    located: Out(Located)
    key: In(KeyWrite)

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.table = table = memory.Memory(shape=VolumeKey, depth=MAX_VOLUMES, init=[])
        write = table.write_port()
        read = table.read_port(domain="comb")
        request = self.i.payload
        m.d.comb += [
            write.addr.eq(self.key.volume),
            write.data.eq(self.key.key),
            write.en.eq(self.key.en),
            read.addr.eq(request.volume),
            self.o.payload.eq(request),
        ]
        volume = VolumeKey(Signal(VolumeKey))
        moves = (request.opcode == BlockOpcode.READ) | (request.opcode == BlockOpcode.WRITE)
        encrypted = volume.mode == VolumeMode.ENCRYPTED
        status = Signal(BlockStatus)
        key = self.good.bit_select(volume.slot, 1)
        m.d.comb += [
            self.located.lba.eq(request.lba),
            self.located.slot.eq(volume.slot),
            self.located.encrypted.eq(encrypted),
            self.refused.payload.eq(status),
        ]
        with m.FSM():
            with m.State("Look up"):
                m.d.sync += volume.eq(read.data)
                with m.If(self.i.valid):
                    m.next = "Decide"
            with m.State("Decide"):
                m.d.sync += status.eq(BlockStatus.INTERNAL)
                with m.If(encrypted & (request.opcode == BlockOpcode.WRITE_ZEROES)):
                    m.d.sync += status.eq(BlockStatus.UNSUPPORTED)
                    m.next = "Refuse"
                with m.Elif(~encrypted & (volume.mode != VolumeMode.PLAIN)):
                    m.next = "Refuse"
                with m.Elif(encrypted & moves & ~key):
                    m.next = "Refuse"
                with m.Elif(~self.wait):
                    m.d.comb += self.admit.eq(1)
                    m.next = "Pass"
            with m.State("Pass"):
                m.d.comb += [self.o.valid.eq(1), self.i.ready.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.next = "Look up"
            with m.State("Refuse"):
                m.d.comb += [self.refused.valid.eq(1), self.i.ready.eq(self.refused.ready)]
                with m.If(self.refused.ready):
                    m.next = "Look up"
        return m
