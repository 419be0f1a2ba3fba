/* What the compiler may call for copies and fills. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t length) {
    uint8_t *out = to;
    const uint8_t *in = from;
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
