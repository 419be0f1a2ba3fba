"""What the queue engine can be built for."""

import pytest

from niter.virtio.queue.geometry import Geometry


def test_rows_follow_from_functions():
    assert [Geometry(n).row_bits for n in (1, 2, 3, 4, 5, 8)] == [4, 5, 6, 6, 7, 7]
    assert Geometry(4).rows == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"functions": 0}, "There are 1 to 8 functions, not 0"),
        ({"functions": 9}, "There are 1 to 8 functions, not 9"),
        ({"pulled": (16,)}, r"Pulled queues have indices from 0 to 15, not \(16,\)"),
    ],
)
def test_bad_sizes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Geometry(**arguments)
