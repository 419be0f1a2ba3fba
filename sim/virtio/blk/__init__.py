"""The virtio block device under drivers written from the specification."""
