"""What the peripherals' registers hang on."""

from collections.abc import Mapping

from amaranth.utils import ceil_log2

from niter import csr

__all__ = ["bridge_of"]


def bridge_of(registers: Mapping[str, csr.Register]) -> csr.Bridge:
    """Put registers on a bus of their own, in order, in the smallest space that holds them."""
    builder = csr.Builder(addr_width=ceil_log2(len(registers)))
    for name, register in registers.items():
        builder.add(name, register)
    return csr.Bridge(builder.as_memory_map())
