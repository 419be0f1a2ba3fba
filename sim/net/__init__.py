"""Benches of the overlay."""
