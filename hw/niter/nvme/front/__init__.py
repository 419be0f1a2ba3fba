"""The front of the NVMe controllers: registers and queues towards the host."""
