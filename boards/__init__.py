"""Boards: pins, clocks and constraints, and what the gateware costs on their devices."""
