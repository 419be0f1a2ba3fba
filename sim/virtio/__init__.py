"""Benches of the virtio rooms."""
