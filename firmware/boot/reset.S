# What the ROM begins with: where the core goes after a reset, and, four bytes later, at a trap. A trap
# is a defect, of whatever program: the watchdog, if it runs, restarts the card.

    .section .reset, "ax"
    .option norvc
    .option norelax
    j       _start
trap:
    j       trap
