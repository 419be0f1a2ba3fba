# Prologues and epilogues that all functions share (-msave-restore; RISC-V toolchain conventions).
#
# __riscv_save_N is called through t0 and may change t1: it pushes ra and s0 to s(N-1), from the top of
# a frame of a multiple of 16 bytes. __riscv_restore_N takes them back and returns to ra.

    .option nopic

    .macro entry kind, numbers:vararg
    .irp number, \numbers
    .globl __riscv_\kind\()_\number
__riscv_\kind\()_\number:
    .endr
    .endm

    .section .text.saves, "ax"
    entry save, 12
    addi    sp, sp, -64
    li      t1, 0
    sw      s11, 12(sp)
    j       save_11

    entry save, 11, 10, 9, 8
    addi    sp, sp, -64
    li      t1, 16
save_11:
    sw      s10, 16(sp)
    sw      s9, 20(sp)
    sw      s8, 24(sp)
    sw      s7, 28(sp)
    j       save_7

    entry save, 7, 6, 5, 4
    addi    sp, sp, -64
    li      t1, 32
save_7:
    sw      s6, 32(sp)
    sw      s5, 36(sp)
    sw      s4, 40(sp)
    sw      s3, 44(sp)
    sw      s2, 48(sp)
    sw      s1, 52(sp)
    sw      s0, 56(sp)
    sw      ra, 60(sp)
    add     sp, sp, t1
    jr      t0

    entry save, 3, 2, 1, 0
    addi    sp, sp, -16
    sw      s2, 0(sp)
    sw      s1, 4(sp)
    sw      s0, 8(sp)
    sw      ra, 12(sp)
    jr      t0

    entry restore, 12
    lw      s11, 12(sp)
    addi    sp, sp, 16
    entry restore, 11, 10, 9, 8
    lw      s10, 0(sp)
    lw      s9, 4(sp)
    lw      s8, 8(sp)
    lw      s7, 12(sp)
    addi    sp, sp, 16
    entry restore, 7, 6, 5, 4
    lw      s6, 0(sp)
    lw      s5, 4(sp)
    lw      s4, 8(sp)
    lw      s3, 12(sp)
    addi    sp, sp, 16
    entry restore, 3, 2, 1, 0
    lw      s2, 0(sp)
    lw      s1, 4(sp)
    lw      s0, 8(sp)
    lw      ra, 12(sp)
    addi    sp, sp, 16
    ret
