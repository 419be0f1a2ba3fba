"""Benches of the PCIe room."""
