#include "bytes.h"

#include "hal/registers.h"

void bytes_to_registers(uint32_t address, const uint8_t *from, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        register_write(address + 4 * n, get32(from + 4 * n));
}
