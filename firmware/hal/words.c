#include "words.h"

uint32_t word_of(const uint8_t *from, size_t length) {
    uint32_t word = 0;
    for (size_t n = length < 4 ? length : 4; n--;) word = word << 8 | from[n];
    return word;
}

void word_to(uint8_t *to, uint32_t word, size_t length) {
    for (size_t n = length < 4 ? length : 4; n--; word >>= 8) *to++ = (uint8_t)word;
}
