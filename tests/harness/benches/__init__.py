"""Benches for the tests of the harness itself."""
