/* What the compiler calls for a 64-bit division: its own library is not linked. */
#include <stdint.h>

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);

/* One bit of the quotient at a time; a divisor of zero gives all ones, as the 32-bit instruction does. */
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
    uint64_t rest = 0;
    for (unsigned bit = 0; bit < 64; bit++) {
        rest = rest << 1 | dividend >> 63;
        dividend <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            dividend |= 1;
        }
    }
    return dividend;
}
