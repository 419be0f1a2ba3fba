"""What is written about a bitstream, for people."""

from collections.abc import Mapping, Sequence

from .board import Board

__all__ = ["PCIE_MS", "ready_ms", "report_markdown"]

#: From power to the first configuration request that must be answered (PCIe 2.1, 6.6.1).
PCIE_MS = 100
#: Power-on reset of the device and its first look at the flash, at most (FPGA-DS-02012).
_POWER_UP_MS = 30
#: The clock for the flash is the device's own oscillator, which may be this much too slow.
_SLOW = 0.15
#: Lock of the PLL, at most, and the cycles for which resets are held after it.
_LOCK_MS, _RESET_MS = 15, 0.02
_COUNTED = ("comb", "lut4", "ff", "ebr", "dsp")
_HOPS = 12


def ready_ms(board: Board, size: int) -> dict[str, float]:
    """What passes from power to a card that answers, step by step, in milliseconds."""
    return {
        "power-on reset": _POWER_UP_MS,
        "bitstream from flash": size
        * 8
        / board.flash_lines
        / (board.flash_mhz * 1e3 * (1 - _SLOW)),
        "PLL lock": _LOCK_MS,
        "resets": _RESET_MS,
    }


def report_markdown(
    figures: Mapping,
    board: Board,
    router: str,
    size: int,
    utilization: Mapping,
    ends: Sequence[tuple[str, float]],
) -> str:
    """The report of one build.

    Parameters
    ----------
    figures
        Content of ``report.json``.
    router
        Of nextpnr.
    size
        Bytes of the bitstream.
    utilization
        Of nextpnr's report: cells used and available.
    ends
        Where the core's slowest paths end, with their nanoseconds.
    """
    total = figures["total"]
    available = utilization["TRELLIS_COMB"]["available"]
    lines = [
        f"# {figures['config']} on {board.name}",
        "",
        f"{figures['device']}, seed {figures['seed']}, {router}. The clocks are what nextpnr's "
        "timing model expects; no device has run it.",
        "",
        "| room | " + " | ".join(each.upper() for each in _COUNTED) + " |",
        "|---" * (len(_COUNTED) + 1) + "|",
        *(_row(room, cells) for room, cells in figures["rooms"].items()),
        _row("**total**", total),
        "",
        f"{total['comb'] / available:.0%} of {available:,} COMB, {total['ebr']} of "
        f"{utilization['DP16KD']['available']} EBR.",
        "",
        "| clock | wanted MHz | reached MHz |",
        "|---|---|---|",
        *(
            f"| {clock} | {each['constraint_mhz']:g} | {each['fmax_mhz']:.1f} |"
            for clock, each in figures["clocks"].items()
        ),
        "",
        "| from power to ready | ms |",
        "|---|---|",
        *(f"| {step} | {ms:.2f} |" for step, ms in ready_ms(board, size).items()),
        f"| **all**, of {PCIE_MS} | {sum(ready_ms(board, size).values()):.1f} |",
        "",
        f"The bitstream has {size:,} bytes.",
    ]
    for path in figures["paths"]:
        delay = sum(hop["delay_ns"] for hop in path["hops"])
        lines += ["", f"Slowest path of {path['clock']}, {delay:.2f} ns:", ""]
        signals: list[tuple[str, float]] = []
        for hop in path["hops"]:
            if signals and signals[-1][0] == hop["signal"]:
                signals[-1] = (hop["signal"], signals[-1][1] + hop["delay_ns"])
            else:
                signals.append((hop["signal"], hop["delay_ns"]))
        lines += [f"- {ns:.2f} ns `{signal}`" for signal, ns in signals[:_HOPS]]
    lines += ["", "Where the slowest paths of the core end, in ns without setup:", ""]
    lines += [f"- {ns:.2f} `{signal}`" for signal, ns in ends]
    return "\n".join([*lines, ""])


def _row(name: str, cells: Mapping[str, int]) -> str:
    return f"| {name} | " + " | ".join(f"{cells[each]:,}" for each in _COUNTED) + " |"
