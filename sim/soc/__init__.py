"""Benches of the processor and what stands round it."""
