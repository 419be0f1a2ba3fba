"""The queue engine's bench."""
