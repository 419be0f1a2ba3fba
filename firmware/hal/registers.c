#include "registers.h"

#include "bus.h"

uint32_t register_read(uint32_t address) { return *bus_at(address); }

void register_write(uint32_t address, uint32_t value) { *bus_at(address) = value; }

uint64_t register_read_counter(uint32_t address) {
    uint32_t low = register_read(address);
    return (uint64_t)register_read(address + 4) << 32 | low;
}
