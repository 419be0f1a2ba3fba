"""Benches of the NVMe room."""
