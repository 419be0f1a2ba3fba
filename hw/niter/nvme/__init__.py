"""The NVMe controller: queues and registers towards the host, the block contract behind."""
