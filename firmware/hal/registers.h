/*
 * The card's control bus: every register that the gateware declares.
 *
 * An address is the byte offset that build/firmware/include/card_registers.h names, which is
 * generated from the gateware's register classes. Words only, 32 bits each; a read of nothing
 * is zero, a write to nothing does nothing.
 */
#ifndef HAL_REGISTERS_H
#define HAL_REGISTERS_H

#include <stdint.h>

uint32_t register_read(uint32_t address);
void register_write(uint32_t address, uint32_t value);

/* A 64-bit counter at `address`: both halves belong to one moment. */
uint64_t register_read_counter(uint32_t address);

/* Write `value` into the field that `mask` and `shift` describe, as the header generates them. */
#define REGISTER_FIELD(field, value) (((uint32_t)(value) << field##_SHIFT) & field##_MASK)

/* The field of a word that was read. */
#define REGISTER_GET(field, word) (((uint32_t)(word) & field##_MASK) >> field##_SHIFT)

#endif
