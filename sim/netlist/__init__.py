"""Benches of other rooms, run on the cells that synthesis for ECP5 leaves of their components."""
