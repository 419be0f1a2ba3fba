"""How fast the queue engine is."""
