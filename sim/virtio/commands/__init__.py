"""The bench of control commands that firmware answers."""
