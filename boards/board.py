"""What is known of a board: its platform and pins, and the figures that no pin has."""

from collections.abc import Callable
from dataclasses import dataclass

from amaranth.build import Attrs, DiffPairs, Pins, PinsN, Resource, Subsignal
from amaranth.vendor import LatticePlatform
from amaranth_boards.versa_ecp5_5g import VersaECP55GPlatform

__all__ = ["BOARDS", "Board", "VersaPlatform", "find_board"]

#: Names that the definition of amaranth-boards gives to what is declared anew here.
_REPLACED = {("spi_flash_1x", 0), ("spi_flash_2x", 0), ("spi_flash_4x", 0), ("eth_rgmii", 1)}


class VersaPlatform(VersaECP55GPlatform):
    """Lattice's ECP5-5G Versa card, with what makes it a card.

    On top of amaranth-boards: the PCIe lane, its reference clock and PERST#. Mended: the
    flash's data pins were swapped (sysCONFIG gives MOSI to W2 and MISO to V2), its clock is no
    pin of the fabric (``USRMCLK`` drives it), and the second port calls its control pins as
    the first does. Pins of the lane are those that litex-boards gives; none were checked
    against a board.
    """

    resources = [  # noqa: RUF012  (its shape is amaranth-boards')
        *(
            each
            for each in VersaECP55GPlatform.resources
            if (each.name, each.number) not in _REPLACED
        ),
        Resource(
            "spi_flash",
            0,
            Subsignal("cs", PinsN("R2", dir="o")),
            Subsignal("copi", Pins("W2", dir="o")),
            Subsignal("cipo", Pins("V2", dir="i")),
            Subsignal("wp", PinsN("Y2", dir="o")),
            Subsignal("hold", PinsN("W1", dir="o")),
            Attrs(IO_TYPE="LVCMOS33"),
        ),
        Resource(
            "eth_rgmii",
            1,
            Subsignal("rst", PinsN("F20", dir="o")),
            Subsignal("mdc", Pins("G19", dir="o")),
            Subsignal("mdio", Pins("H20", dir="io")),
            Subsignal("tx_clk", Pins("C20", dir="o")),
            Subsignal("tx_ctl", Pins("E19", dir="o")),
            Subsignal("tx_data", Pins("J17 J16 D19 D20", dir="o")),
            Subsignal("rx_clk", Pins("J19", dir="i")),
            Subsignal("rx_ctl", Pins("F19", dir="i")),
            Subsignal("rx_data", Pins("G18 G16 H18 H17", dir="i")),
            Attrs(IO_TYPE="LVCMOS25"),
        ),
        Resource(
            "pcie_x1",
            0,
            Subsignal("rx", DiffPairs("Y5", "Y6", dir="i")),
            Subsignal("tx", DiffPairs("W4", "W5", dir="o")),
            Subsignal("refclk", DiffPairs("Y11", "Y12", dir="i")),
            Subsignal("perst", PinsN("A6", dir="i"), Attrs(IO_TYPE="LVCMOS33")),
        ),
    ]


class Versa85Platform(VersaPlatform):
    """An LFE5UM5G-85F in the same package on the Versa's pins: what holds the full card."""

    device = "LFE5UM5G-85F"


@dataclass(frozen=True)
class Board:
    """A board that the card is built for.

    Parameters
    ----------
    name
        Names the folder under ``build/``.
    number
        What the identity register says.
    platform
        Makes the platform: device, package and pins.
    clock_mhz
        Frequency of the platform's default clock.
    receive_delay_ns, transmit_delay_ns
        What RGMII's received data, and its transmitted clock, are delayed by on the device.
    flash_mhz, flash_lines
        Clock and data lines (1, 2 or 4) with which the device loads itself from its flash.
    loader
        What tells openFPGALoader how to reach it.
    """

    name: str
    number: int
    platform: Callable[[], LatticePlatform]
    clock_mhz: float
    receive_delay_ns: float
    transmit_delay_ns: float
    flash_mhz: float
    flash_lines: int
    loader: tuple[str, ...]


#: By the name that ``BOARD=`` takes. The Versa's PHYs delay the transmit clock themselves.
BOARDS = {
    each.name: each
    for each in (
        Board("versa", 1, VersaPlatform, 100, 2.0, 0.0, 62, 4, ("--cable", "ft2232")),
        Board("versa85", 2, Versa85Platform, 100, 2.0, 0.0, 62, 4, ("--cable", "ft2232")),
    )
}


def find_board(name: str) -> Board:
    """The board of that name.

    Raises
    ------
    LookupError
        If there is none.
    """
    if name not in BOARDS:
        raise LookupError(f"No board is called {name!r}; there are: {', '.join(BOARDS)}")
    return BOARDS[name]
