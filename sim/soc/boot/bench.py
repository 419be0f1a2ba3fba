"""Boot: the ROM finds its loader, the loader a firmware that may run, and the firmware the card.

The oracle is ``hashlib`` and the image tool: measurements are recomputed from the images' bytes.
"""

import cocotb

from firmware.boot.layout import FLASH
from sim.harness import Bench, record
from sim.soc.board import Board
from sim.soc.identity import certified, check_certificate, provisioned
from sim.soc.rig import flash_content, images, rig

BENCH = Bench(dut=rig, tier="slow", timeout_s=6000)

#: What a card may take from reset until its functions are released.
GOAL = 10_000_000
#: When the bench gives up.
LONGEST = 20_000_000


@cocotb.test()
async def boots_by_itself(dut):
    """Slot A is started, everything is measured, and the functions are released."""
    found = images()
    board = await Board.start(
        dut, BENCH, flash_content(found, a=found.image) | provisioned() | certified(found)
    )
    cycles = await board.released(LONGEST)
    record("release", cycles=cycles)
    assert board.console.text == "A"
    await board.check(found)
    assert cycles <= GOAL


@cocotb.test()
async def certifies_its_alias_key_once(dut):
    """Without a certificate, one is made and kept, and then the image is started."""
    found = images()
    board = await Board.start(dut, BENCH, flash_content(found, a=found.image) | provisioned())
    record("release with a new certificate", cycles=await board.released(300_000_000))
    assert board.console.text == "CA"
    await board.check(found)
    check_certificate(found, board.flash.dump(FLASH.certificate, 4096))
