/*
 * The second half of the boot ROM: chooses a firmware image, checks and measures it, locks what only
 * boot code may use, and starts it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot_layout.h"
#include "choose.h"
#include "hal/flash.h"
#include "hal/keystore.h"
#include "hal/measurement.h"
#include "hal/timer.h"
#include "hal/uart.h"
#include "hal/watchdog.h"
#include "signer.h"

_Noreturn void main(void);

/* Seconds in which the firmware must have taken the watchdog over. */
enum { PATIENCE = 8 };

static void say(char letter) {
    while (!uart_write(&letter, 1)) {}
}

static void measure(const struct image *image) {
    uint8_t signer[SHA384_BYTES];
    measurement_extend(MEASURE_FIRMWARE, image->digest);
    sha_begin(SHA384);
    sha_update(SIGNER_KEY, sizeof SIGNER_KEY);
    sha_finish(signer);
    measurement_extend(MEASURE_SIGNER, signer);
}

_Noreturn void main(void) {
    struct boot_report *report = (struct boot_report *)BOOT_HANDOVER_BASE;
    struct image image;
    *report = (struct boot_report){0};
    watchdog_feed(PATIENCE * timer_hz());
    flash_lock(BOOT_LOCK_END);
    if (!boot_choose(SIGNER_KEY, &image, report)) {
        keystore_lock();
        say('X');
        for (;;) watchdog_feed(UINT32_MAX);
    }
    report->counter = image.counter;
    report->version = image.version;
    measure(&image);
    keystore_lock();
    say("ABG"[report->slot]);
    ((void (*)(struct boot_report *))BOOT_IMAGE_BASE)(report);
    for (;;) {}
}
