/*
 * The second half of the boot ROM: chooses a firmware image, checks and measures it, gives it its keys,
 * locks what only boot code may use, and starts it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boot_layout.h"
#include "certifier.h"
#include "certifier_digest.h"
#include "choose.h"
#include "crypto/certify.h"
#include "crypto/dice.h"
#include "hal/flash.h"
#include "hal/keystore.h"
#include "hal/measurement.h"
#include "hal/timer.h"
#include "hal/uart.h"
#include "hal/watchdog.h"
#include "pinned.h"
#include "signer.h"

_Noreturn void main(void);

/* Seconds in which the firmware must have taken the watchdog over; making a certificate takes three. */
enum { PATIENCE = 12 };

static void say(char letter) {
    while (!uart_write(&letter, 1)) {}
}

/* Have the alias key certified, in the image's place. Whether it worked shows in flash. */
static void certify(const uint8_t firmware[SHA384_BYTES], const struct boot_keys *keys) {
    static const uint32_t places[] = {BOOT_CERTIFIER, BOOT_CERTIFIER_COPY};
    void *program = (void *)BOOT_IMAGE_BASE;
    say('C');
    if (pinned_load(places, program, CERTIFIER_BYTES, CERTIFIER_DIGEST)) {
        ((bool (*)(const uint8_t *, const struct boot_keys *))program)(firmware, keys);
    }
}

/* Choose an image and derive its keys. One whose certificate had to be made is then loaded again. */
static bool load(struct image *image, uint8_t signer[SHA384_BYTES], struct handover *handover) {
    sha_begin(SHA384);
    sha_update(SIGNER_KEY, sizeof SIGNER_KEY);
    sha_finish(signer);
    if (!boot_choose(SIGNER_KEY, image, &handover->report)) return false;
    if (!dice_derive(image->digest, signer, &handover->keys) || certify_present(BOOT_CERTIFICATE_AT, &handover->keys)) return true;
    certify(image->digest, &handover->keys);
    return boot_again(SIGNER_KEY, image, &handover->report) &&
        (dice_derive(image->digest, signer, &handover->keys), true);
}

_Noreturn void main(void) {
    struct handover *handover = (struct handover *)BOOT_HANDOVER_BASE;
    struct image image;
    uint8_t signer[SHA384_BYTES];
    *handover = (struct handover){0};
    watchdog_feed(PATIENCE * timer_hz());
    flash_lock(BOOT_LOCK_END);
    if (!load(&image, signer, handover)) {
        keystore_lock();
        say('X');
        for (;;) watchdog_feed(UINT32_MAX);
    }
    handover->report.counter = image.counter;
    handover->report.version = image.version;
    measurement_extend(MEASURE_FIRMWARE, image.digest);
    measurement_extend(MEASURE_SIGNER, signer);
    keystore_lock();
    say("ABG"[handover->report.slot]);
    __asm__ volatile("fence.i" ::: "memory");
    ((void (*)(struct handover *))BOOT_IMAGE_BASE)(handover);
    for (;;) {}
}
