/* Bytes to words and back: what the data registers of the peripherals take, first byte lowest. */
#ifndef HAL_WORDS_H
#define HAL_WORDS_H

#include <stddef.h>
#include <stdint.h>

/* Up to four bytes as a word, zeros above. */
uint32_t word_of(const uint8_t *from, size_t length);

/* Up to four bytes of a word. */
void word_to(uint8_t *to, uint32_t word, size_t length);

#endif
