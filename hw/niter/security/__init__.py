"""Cryptography and trust in hardware: hashing, keys, measurements, entropy, the flash guard."""
