/*
 * The card's SPI flash: images, policy, log.
 *
 * Programming and erasing are started, and done when flash_busy() says no more; between the two
 * nothing else of the flash may be called. A region that is locked refuses both until the card is
 * power cycled: the hardware does not send the command.
 */
#ifndef HAL_FLASH_H
#define HAL_FLASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLASH_PAGE = 256,    /* Bytes that one program command may change, within one such page. */
    FLASH_SECTOR = 4096, /* Bytes that one erase command sets to 0xff. */
};

/* Copy `length` bytes from `address`. False when the flash is busy. */
bool flash_read(uint32_t address, void *to, size_t length);

/* Start to program up to a page. False when busy, locked, or beyond the page's end. */
bool flash_program(uint32_t address, const void *from, size_t length);

/* Start to erase the sector at `address`. False when busy, locked, or not a sector's beginning. */
bool flash_erase(uint32_t address);

/* Whether a program or erase is still going on. */
bool flash_busy(void);

/* Refuse writes below `end`, which is rounded up to a sector, until power is cycled. Only grows. */
void flash_lock(uint32_t end);

#endif
