"""Between the dissector and who has the words of a frame."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from niter.interface import Headers

__all__ = ["DissectorPort"]

#: A reader of headers and what it finds, as seen from who has the words.
#:
#: wanted, granted
#:     From a frame's first word until its findings have been taken; they and what
#:     follows hold while both are high.
#: start
#:     Forget everything; high until and with the first word.
#: length
#:     Bytes in the frame, from the cycle behind the first word.
#: stb, word
#:     The next word, whole, first byte in the highest eight bits.
#: sums
#:     With ``start``: ``meta.sums`` of the frame.
#: pending
#:     The last word is still to be looked at.
#: done, bad
#:     All headers have been read, and further words are ignored; the frame is malformed.
#: headers, hash
#:     What was found; the flow hash of what has been read: see ``Parser``.
#: checksum_good
#:     2 cycles after ``done``: the layer 4 checksum is there and right, and the packet fills
#:     the frame. Zero without ``verify``.
DissectorPort = wiring.Signature(
    {
        "wanted": Out(1),
        "granted": In(1),
        "start": Out(1),
        "length": Out(14),
        "stb": Out(1),
        "word": Out(32),
        "sums": Out(16).array(2),
        "pending": In(1),
        "done": In(1),
        "bad": In(1),
        "hash": In(16),
        "headers": In(Headers),
        "checksum_good": In(1),
    }
)
