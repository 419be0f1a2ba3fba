"""Boot ROM and loader, and where they find what."""
