"""The overlay's registers, tables and counters as the generators describe them."""

from niter.csr.generate import c_header, register_page, svd
from niter.net import Overlay, OverlayConfig


def test_everything_is_described():
    memory_map = Overlay(OverlayConfig(functions=2)).csr.memory_map
    header = c_header(memory_map, name="overlay")
    assert "#define OVERLAY_TRANSMIT_CLASSIFY_MAPPING_WORDS 0x" in header
    assert "#define OVERLAY_TRANSMIT_SIZE_LIMIT_FRAME_MASK 0x3fffu" in header
    assert "OVERLAY_COUNTERS_COUNTERS_RECEIVE_FUNCTION1_UNKNOWN_DESTINATION_LOW" in header.upper()
    assert "Mapping table of 1024 slots" in svd(memory_map, name="overlay")
    assert "5120 words" in register_page(memory_map, title="Overlay")
