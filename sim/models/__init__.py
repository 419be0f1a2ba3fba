"""Partners of the card: what stands on the other side of each of its edges."""
