"""The words of the key store: keys, and what the next one is derived for."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from niter.ram import Ram

__all__ = ["KEY_WORDS", "KeyMemory"]

#: 32-bit words of a slot: 512 bits, the two keys of AES-256-XTS.
KEY_WORDS = 16


class KeyMemory(wiring.Component):
    """A block RAM with the slots in its lower half, and sixteen words of ``info`` in the upper.

    Software's words come in order, and are counted: of a key from ``key_anew`` on, of ``info`` from
    ``info_anew`` on. One more than sixteen shows that there were too many. Of what is ordered in
    the same cycle, ``wipe`` is done rather than ``store``, that rather than ``info``, and ``key``
    last.

    Parameters
    ----------
    slots
        Number of slots, a power of two.

    Members
    -------
    slot : In
        The slot that is written, read and wiped.
    key, info : In(1), given : In(32)
        The next word of a key or of ``info``.
    key_anew, info_anew : In(1)
        Count from zero again.
    key_whole, info_whole : Out(1)
        There are exactly sixteen words.
    job : In(1), index : In(4), section : In(1), source : In
        Read a word for the hash engine: of the key in slot ``source``, or of ``info``.
    position : In
        Which word of the slot is read otherwise, and which is wiped; with ``every``, of all.
    word : Out(32)
        What is read, a cycle later.
    store : In(1), stored : In(32)
        Write word ``index`` of the slot.
    wipe, every : In(1)
        Write zero.
    """

    def __init__(self, slots: int):
        self.slots = slots
        width = exact_log2(slots)
        self._storage = Ram(shape=32, depth=2 * slots * KEY_WORDS, init=[])
        #: The memory's only ports.
        self.write, self.read = self._storage.write_port(), self._storage.read_port()
        orders = (
            "key",
            "info",
            "key_anew",
            "info_anew",
            "job",
            "section",
            "store",
            "wipe",
            "every",
        )
        super().__init__(
            {
                "slot": In(width),
                "given": In(32),
                "key_whole": Out(1),
                "info_whole": Out(1),
                "index": In(4),
                "source": In(width),
                "position": In(width + 5),
                "word": Out(32),
                "stored": In(32),
                **{name: In(1) for name in orders},
            }
        )

    def elaborate(self, platform):  # noqa: D102
        m = Module()
        m.submodules.storage = self._storage
        write, read = self.write, self.read
        none = C(0, len(self.slot))
        keys, infos = Signal(5), Signal(5)
        for count, put, anew, whole in (
            (keys, self.key, self.key_anew, self.key_whole),
            (infos, self.info, self.info_anew, self.info_whole),
        ):
            m.d.comb += whole.eq(count == KEY_WORDS)
            with m.If(put & (count <= KEY_WORDS)):
                m.d.sync += count.eq(count + 1)
            with m.If(anew):
                m.d.sync += count.eq(0)

        with m.If(self.wipe):
            m.d.comb += [
                write.addr.eq(
                    Mux(self.every, self.position, Cat(self.position[:4], self.slot, C(0, 1)))
                ),
                write.en.eq(1),
            ]
        with m.Elif(self.store):
            m.d.comb += [
                write.addr.eq(Cat(self.index, self.slot, C(0, 1))),
                write.data.eq(self.stored),
                write.en.eq(1),
            ]
        with m.Elif(self.info):
            m.d.comb += [
                write.addr.eq(Cat(infos[:4], none, C(1, 1))),
                write.data.eq(self.given),
                write.en.eq(infos < KEY_WORDS),
            ]
        with m.Else():
            m.d.comb += [
                write.addr.eq(Cat(keys[:4], self.slot, C(0, 1))),
                write.data.eq(self.given),
                write.en.eq(self.key & (keys < KEY_WORDS)),
            ]

        of_job = Cat(self.index, Mux(self.section, none, self.source), self.section)
        m.d.comb += [
            read.addr.eq(Mux(self.job, of_job, Cat(self.position[:4], self.slot, C(0, 1)))),
            self.word.eq(read.data),
        ]
        return m
