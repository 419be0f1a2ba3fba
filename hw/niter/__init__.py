"""Niter, an open offload card: gateware, one package a room."""
