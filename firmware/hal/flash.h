/*
 * The card's SPI flash: images, policy, log.
 *
 * Programming and erasing are started, and done when flash_busy() says no more; between the two
 * nothing else of the flash may be called. The hardware cuts off commands for a region that is
 * locked before the flash takes them.
 */
#ifndef HAL_FLASH_H
#define HAL_FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLASH_PAGE = 256,    /* Bytes that one program command may change, within one such page. */
    FLASH_SECTOR = 4096, /* Bytes that one erase command sets to 0xff. */
    FLASH_BLOCK = 65536, /* What regions are made of. */
};

/* Copy `length` bytes, 1 to 64 Ki, from `address`. False when the flash is busy. */
bool flash_read(uint32_t address, void *to, size_t length);

/* Start to program up to a page. False when busy, locked, or beyond the page's end. */
bool flash_program(uint32_t address, const void *from, size_t length);

/* Start to erase the sector at `address`. False when busy, locked, or not a sector's beginning. */
bool flash_erase(uint32_t address);

/* Whether a program or erase is still going on. */
bool flash_busy(void);

/*
 * Refuse writes below `end`, which is rounded up to 64 KiB, and in the last 64 KiB, which hold the
 * device secret. Nothing can be written before this; keystore_lock() makes it final.
 */
void flash_lock(uint32_t end);

#endif
