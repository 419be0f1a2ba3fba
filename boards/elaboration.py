"""What elaborations have in common, of rooms, cards and benches."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["uncollected"]


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: half of the time would go into it, among millions of nets that
    are needed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
