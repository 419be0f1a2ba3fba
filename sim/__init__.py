"""Benches in Verilator under cocotb, and the models of the card's partners that they need."""
