/* Numbers as NVMe has them: little-endian, at any place. */
#ifndef NVME_LITTLE_H
#define NVME_LITTLE_H

#include <stdint.h>

static inline uint32_t little32(const uint8_t *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline uint64_t little64(const uint8_t *from)
{
    return little32(from) | (uint64_t)little32(from + 4) << 32;
}

static inline void put_little16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)value;
    to[1] = (uint8_t)(value >> 8);
}

static inline void put_little32(uint8_t *to, uint32_t value)
{
    put_little16(to, value);
    put_little16(to + 2, value >> 16);
}

static inline void put_little64(uint8_t *to, uint64_t value)
{
    put_little32(to, (uint32_t)value);
    put_little32(to + 4, (uint32_t)(value >> 32));
}

#endif
