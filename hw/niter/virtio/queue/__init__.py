"""The queue engine: rings in host memory on one side, chains of buffers on the other."""
