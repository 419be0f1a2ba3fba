"""What control says of volumes' rates."""

__all__ = ["CYCLE_BITS", "RateRecord"]

#: Bits of the count of cycles that the stages go by: twice the longest debt, a burst and a
#: request's cost, and a sign.
CYCLE_BITS = 35


class RateRecord:
    """Where the words of a volume's rate stand in the rate table, in cycles of the core.

    A volume may run ahead of its rates by ``BURST``, and then waits until it no longer does.
    Zeros mean that it is not limited.
    """

    #: Words from one volume's record to the next.
    STRIDE = 4
    #: Cycles that a request takes of its volume's time: clock / IOPS.
    REQUEST = 0
    #: Cycles for each sector of a READ or WRITE, 16 bits: 512 * clock / bytes a second.
    SECTOR = 1
    #: How far ahead a volume may be before its next request has to wait.
    BURST = 2
