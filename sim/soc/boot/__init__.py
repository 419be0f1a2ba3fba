"""The SoC boots from flash by itself."""
