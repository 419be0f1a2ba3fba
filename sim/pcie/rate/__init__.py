"""What DMA makes of the link."""
