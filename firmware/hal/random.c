#include "random.h"

#include <stdint.h>

#include "card_registers.h"
#include "registers.h"
#include "sha.h"

/* Words that are hashed for each piece of output: their entropy is half of their bits at the least. */
enum { WORDS = 32 };

static bool next_word(uint32_t *word) {
    uint32_t status;
    do {
        status = register_read(CARD_SOC_RANDOM_STATUS);
        if (status & CARD_SOC_RANDOM_STATUS_ALARM_MASK) return false;
    } while (!(status & CARD_SOC_RANDOM_STATUS_VALID_MASK));
    *word = register_read(CARD_SOC_RANDOM_WORD);
    return true;
}

bool random_read(void *to, size_t length) {
    uint8_t *next = to, digest[SHA384_BYTES];
    while (length) {
        uint32_t words[WORDS];
        for (unsigned n = 0; n < WORDS; n++) {
            if (!next_word(&words[n])) return false;
        }
        sha_begin(SHA384);
        sha_update(words, sizeof words);
        sha_finish(digest);
        for (unsigned n = 0; n < SHA384_BYTES && length; n++, length--) *next++ = digest[n];
    }
    return true;
}

bool random_predictable(void) {
    return register_read(CARD_SOC_RANDOM_STATUS) & CARD_SOC_RANDOM_STATUS_DETERMINISTIC_MASK;
}
