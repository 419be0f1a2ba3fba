"""The packet stream: how bytes travel between any two components.

A packet is a run of beats that ends with ``last``. The rules, which
``sim.harness`` and ``tests.formal`` check wherever a packet stream is bound:

1. ``valid`` and ``payload`` hold until ``ready`` (the stream contract).
2. Bytes are packed from lane 0 (bits 7:0 of ``data``) without holes: every
   beat but the last carries eight bytes and has ``empty == 0``.
3. No packet is empty: the last beat carries 1 to 8 bytes.
4. A packet is at most ``MAX_PACKET_BYTES`` long.
5. ``error`` is meaningful with ``last`` only and zero elsewhere; it says: discard
   this packet, its bytes are not to be trusted.
"""

from amaranth.lib import data, stream

__all__ = ["BEAT_BYTES", "MAX_PACKET_BYTES", "Beat", "PacketStream"]

#: Bytes that one beat carries.
BEAT_BYTES = 8

#: Longest packet that any component must take, in bytes: a 9,600-byte frame and its tunnel.
MAX_PACKET_BYTES = 9728


class Beat(data.Struct):
    """One beat of a packet, eight byte lanes wide.

    Members
    -------
    data : 64 bits
        Byte lanes, lane 0 first on the wire. Lanes beyond the last byte are don't-care.
    empty : 3 bits
        Unused lanes at the top of the last beat, 0 to 7. Zero on every other beat.
    last : 1 bit
        The packet ends with this beat.
    error : 1 bit
        With ``last``: the whole packet is to be discarded.
    """

    data: 64
    empty: 3
    last: 1
    error: 1


#: Signature of a packet stream, seen from its source.
PacketStream = stream.Signature(Beat)
