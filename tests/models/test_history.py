"""The oracle of overlapping disk traffic: what a read may have found, and what it may not."""

import pytest

from sim.virtio.disk import History

A, B, C = (bytes([value]) * 512 for value in (1, 2, 3))
ZERO = bytes(512)


def write(history, content):
    """A write that begins and ends before anything else."""
    history.end(history.begin(7, content))


def test_a_read_finds_the_last_write_that_had_ended():
    history = History()
    write(history, A)
    write(history, B)
    history.check(7, B, history.tick())
    for stale in (ZERO, A, C):
        with pytest.raises(AssertionError, match="sector 7 holds what it may not hold"):
            history.check(7, stale, history.tick())


def test_a_read_beside_writes_may_find_each_of_them_but_none_before():
    history = History()
    write(history, A)
    begun = history.tick()
    open_ = history.begin(7, B)
    write(history, C)
    for found in (A, B, C):
        history.check(7, found, begun)
    with pytest.raises(AssertionError):
        history.check(7, ZERO, begun)
    # One that begins now may find what has ended, and what is still being written.
    now = history.tick()
    for found in (B, C):
        history.check(7, found, now)
    with pytest.raises(AssertionError):
        history.check(7, A, now)
    history.end(open_)
    history.check(7, B, history.tick())


def test_sectors_are_apart():
    history = History()
    history.end(history.begin(6, A + B))
    history.check(6, A + B + ZERO, history.tick())
    with pytest.raises(AssertionError, match="sector 7"):
        history.check(6, A + A, history.tick())
