"""The control queue's bench."""
