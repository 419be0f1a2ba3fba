#include "registers.h"

/* Where the core sees the control bus: past its caches. */
static volatile uint32_t *const BUS = (volatile uint32_t *)0x80000000u;

uint32_t register_read(uint32_t address) { return BUS[address / 4]; }

void register_write(uint32_t address, uint32_t value) { BUS[address / 4] = value; }

uint64_t register_read_counter(uint32_t address) {
    uint32_t low = register_read(address);
    return (uint64_t)register_read(address + 4) << 32 | low;
}
