"""A virtio driver written from the specification, and the buses that carry it.

The driver knows nothing of the gateware: it finds the device by its PCI capabilities and
talks to it through registers, memory and interrupts alone. It is a model of a *driver*;
it checks what a driver can see, and fails where the device breaks a MUST of the
specification (virtio 1.2).
"""
