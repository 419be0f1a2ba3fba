"""The transaction layer: DMA through the whole of it."""
