"""The transport's bench."""
