"""Benches of the stream room."""
