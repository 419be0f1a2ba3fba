"""The transaction layer (PCI Express Base 4.0, chapter 2) and configuration space (chapter 7)."""
