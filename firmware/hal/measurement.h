/*
 * Measurement registers: software reads and extends them, only a reset of the SoC clears them.
 *
 * Extending a register with a digest sets it to the SHA-384 of its value and the digest; hardware
 * computes it. No hash of software's may be under way: sha_finish() comes before.
 */
#ifndef HAL_MEASUREMENT_H
#define HAL_MEASUREMENT_H

#include <stdbool.h>
#include <stdint.h>

enum { MEASUREMENT_BYTES = 48, MEASUREMENT_REGISTERS = 9 };

/* What each register holds. */
enum measurement {
    MEASURE_BITSTREAM,
    MEASURE_ROM,
    MEASURE_FIRMWARE,
    MEASURE_POLICY,
    MEASURE_HOST_FLASH,
    MEASURE_OPTION_ROM,
    MEASURE_VOLUMES,
    MEASURE_LIFE_CYCLE,
    MEASURE_SIGNER,
};

void measurement_extend(enum measurement which, const uint8_t digest[MEASUREMENT_BYTES]);
void measurement_read(enum measurement which, uint8_t value[MEASUREMENT_BYTES]);

#endif
