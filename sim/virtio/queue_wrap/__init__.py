"""The queue engine where its indices wrap."""
