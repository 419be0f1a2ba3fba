"""An NVMe driver written from the specification, over the buses of ``sim.models.virtio``.

The driver knows nothing of the gateware: it reads capabilities, enables the controller, makes
queues and submits commands through registers, memory and interrupts alone. It checks what a
driver can see, and fails where the controller breaks what NVM Express Base 2.0 demands.
"""
