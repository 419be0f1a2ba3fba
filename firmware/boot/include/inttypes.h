/* For a library that includes it for the types alone. */
#include <stdint.h>
