"""A bench of the soft core."""
