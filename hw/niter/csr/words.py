"""Words of a memory that software writes."""

__all__ = ["WordArray"]


class WordArray:
    """What the memory map holds for a table in RAM: its size and what stands in it.

    Parameters
    ----------
    count
        Words.
    doc
        What they mean.
    """

    #: Software can write them and not read them back.
    access = "w"

    def __init__(self, count: int, doc: str):
        self.count = count
        self.doc = doc
