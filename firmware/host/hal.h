/* The card's hardware as a process on a host: what the host's main() sets up of it. */
#ifndef HOST_HAL_H
#define HOST_HAL_H

#include <stdbool.h>
#include <stdint.h>

struct host_options {
    uint16_t udp;          /* Port on 127.0.0.1 whose datagrams become frames on wire 0; 0: any. */
    uint16_t frames;       /* Port whose datagrams are frames, on wire 1; 0: any. */
    const char *flash;     /* File that holds the flash. */
    const char *registers; /* File that holds the control bus' words, shared with a test. */
    const char *card;      /* Control socket of a card that runs, which is then the bus. */
    uint64_t seed;         /* Of the random source; 0: the system's. */
    bool broken_random;    /* The random source's health test has failed. */
    long cut;              /* Flash operation in the middle of which power fails; 0: never. */
    uint32_t speed;        /* Of the card's clock against the host's; 0 is 1. */
    bool watchdog;         /* The last reset was the watchdog's. */
    uint8_t secret[48];    /* The device secret. */
};

/* Opens sockets and files; prints "udp PORT frames PORT" and a newline. Exits when it cannot. */
void host_open(const struct host_options *options);

/* Wait until there is something to receive, a millisecond at most; not while there is work. */
void host_wait(bool work);

/* Exit status of a process that its firmware, or the watchdog, has reset; and of a power cut. */
enum { HOST_RESET = 3, HOST_CUT = 4 };

#endif
