# The switch between two stacks on RV32IM: what the calling convention lets a callee clobber, the
# compiler has saved already; the rest goes onto the stack that is left.

    .option nopic
    .bss
    .balign 4
other:
    .space 4

    .text
    .globl context_begin
context_begin:
    # a0 stack, a1 its size, a2 entry. A frame as context_enter restores it, with entry as ra.
    add     a0, a0, a1
    andi    a0, a0, -16
    addi    a0, a0, -64
    sw      a2, 0(a0)
    la      t0, other
    sw      a0, 0(t0)
    ret

    .globl context_enter
    .globl context_leave
context_enter:
context_leave:
    addi    sp, sp, -64
    sw      ra, 0(sp)
    sw      s0, 4(sp)
    sw      s1, 8(sp)
    sw      s2, 12(sp)
    sw      s3, 16(sp)
    sw      s4, 20(sp)
    sw      s5, 24(sp)
    sw      s6, 28(sp)
    sw      s7, 32(sp)
    sw      s8, 36(sp)
    sw      s9, 40(sp)
    sw      s10, 44(sp)
    sw      s11, 48(sp)
    la      t0, other
    lw      t1, 0(t0)
    sw      sp, 0(t0)
    mv      sp, t1
    lw      ra, 0(sp)
    lw      s0, 4(sp)
    lw      s1, 8(sp)
    lw      s2, 12(sp)
    lw      s3, 16(sp)
    lw      s4, 20(sp)
    lw      s5, 24(sp)
    lw      s6, 28(sp)
    lw      s7, 32(sp)
    lw      s8, 36(sp)
    lw      s9, 40(sp)
    lw      s10, 44(sp)
    lw      s11, 48(sp)
    addi    sp, sp, 64
    ret
