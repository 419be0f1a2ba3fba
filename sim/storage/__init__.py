"""Benches of the storage room."""
