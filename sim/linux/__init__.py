"""Stock Linux in QEMU against the running card."""
