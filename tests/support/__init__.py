"""What the pysim units share: buses, stream sources and sinks, seeds."""
