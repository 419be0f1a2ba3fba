"""What both directions of the tunnel share."""

from amaranth import Cat, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from niter.interface import Beat

__all__ = ["OUTER_BYTES", "TEMPLATE_WORDS", "Expected", "Short", "TemplateWrite", "network", "note"]

#: Ethernet, IPv4 without options, UDP and VXLAN (RFC 7348).
OUTER_BYTES = 14 + 20 + 8 + 8

#: 32-bit words of the outer header, as control writes them: first byte lowest.
TEMPLATE_WORDS = (OUTER_BYTES + 3) // 4


class Short(data.Struct):
    """A beat of a frame, and as much of its meta as this room knows."""

    packet: Beat
    length: 14
    port: 2


class Expected(data.Struct):
    """What an answer's outer header must have, each the other way round in the template. Bytes in
    the order of the wire, the first one lowest."""

    peer: 32
    own: 32
    vni: 24


#: Control writes a word of the template.
TemplateWrite = wiring.Signature({"en": Out(1), "addr": Out(4), "data": Out(32)})


def network(beat: Value, lane: int, count: int) -> Value:
    """A big-endian number that begins in a lane of a beat."""
    return Cat(beat.word_select(lane + count - 1 - n, 8) for n in range(count))


def note(m, write, expected: Signal) -> None:
    """Keep what has to be compared with, as it is written to the template."""
    with m.If(write.en), m.Switch(write.addr):
        # Bytes 26 to 29 are the card's address, 30 to 33 the peer's, 46 to 48 the network.
        with m.Case(6):
            m.d.sync += expected.own[:16].eq(write.data[16:])
        with m.Case(7):
            m.d.sync += [expected.own[16:].eq(write.data), expected.peer[:16].eq(write.data[16:])]
        with m.Case(8):
            m.d.sync += expected.peer[16:].eq(write.data)
        with m.Case(11):
            m.d.sync += expected.vni[:16].eq(write.data[16:])
        with m.Case(12):
            m.d.sync += expected.vni[16:].eq(write.data)
