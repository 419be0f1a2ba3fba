/* What the compiler may call for copies and fills. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of anything: what is copied has another type. */
typedef uint32_t __attribute__((may_alias)) word;

/* Words, where both places allow it; then bytes. */
void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if (((uintptr_t)out | (uintptr_t)in) % 4 == 0)
        for (; length >= 4; out += 4, in += 4, length -= 4)
            *(word *)(void *)out = *(const word *)(const void *)in;
    while (length--) *out++ = *in++;
    return to;
}

void *memmove(void *to, const void *from, size_t length) {
    uint8_t *out = to;
    const uint8_t *in = from;
    if (out < in) return memcpy(to, from, length);
    while (length--) out[length] = in[length];
    return to;
}

void *memset(void *to, int byte, size_t length) {
    uint8_t *out = to;
    if ((uintptr_t)out % 4 == 0)
        for (; length >= 4; out += 4, length -= 4)
            *(word *)(void *)out = (uint8_t)byte * 0x01010101u;
    while (length--) *out++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *left, const void *right, size_t length) {
    const uint8_t *a = left, *b = right;
    for (; length; a++, b++, length--) {
        if (*a != *b) return *a < *b ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t length = 0;
    while (text[length]) length++;
    return length;
}
