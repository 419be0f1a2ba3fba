"""Words of a memory that software writes or reads."""

__all__ = ["WordArray"]


class WordArray:
    """What the memory map holds for a table in RAM: its size and what stands in it.

    Parameters
    ----------
    count
        Words.
    doc
        What they mean.
    access
        "w": software writes them and does not read them back; "r": it only reads them.
    """

    def __init__(self, count: int, doc: str, *, access: str = "w"):
        self.count = count
        self.doc = doc
        self.access = access
