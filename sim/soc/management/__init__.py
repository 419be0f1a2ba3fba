"""The services on the soft core."""
