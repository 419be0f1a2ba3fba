# Where each program begins: its stack, its zeros, and then main() with what the one before left in a0.

    .section .start, "ax"
    .globl _start
_start:
    la      sp, stack_top
    fence.i
    la      t0, bss_start
    la      t1, bss_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  call    main
