"""Manages Niter cards over the network: the protocol's client, and the command ``niterctl``."""
