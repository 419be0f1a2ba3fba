"""PCI Express, as far as an endpoint needs it. Nothing outside this room knows a TLP."""
