"""virtio devices: the PCI transport, the queue engine, and the devices behind it."""
