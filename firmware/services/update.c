#include "update.h"

#include <string.h>

#include "boot/choose.h"
#include "boot_layout.h"
#include "command.h"
#include "crypto/record.h"
#include "hal/flash.h"
#include "log.h"
#include "signer.h"

/* The slot's last sector holds its state alone. */
enum { LONGEST = BOOT_SLOT_BYTES - FLASH_SECTOR };

static struct boot_report report;
static bool confirmed;
/* Of the image that is being written; a length of 0 is none. */
static uint32_t length, taken;
static uint8_t head[IMAGE_HEADER];

static unsigned target(void)
{
    return report.slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
}

void update_open(const struct boot_report *given)
{
    report = *given;
    log_event(EVENT_BOOT, report.slot);
    for (uint32_t slot = 0; slot < BOOT_SLOTS; slot++)
        if (report.verdict[slot] > BOOT_STARTED)
            log_event(EVENT_PASSED_OVER, slot << 8 | report.verdict[slot]);
}

const struct boot_report *update_report(void)
{
    return &report;
}

void update_confirm(void)
{
    if (confirmed || !boot_confirm(&report))
        return;
    confirmed = true;
    log_event(EVENT_CONFIRMED, report.slot);
}

static bool erase(uint32_t offset)
{
    record_settle();
    bool good = flash_erase(boot_place(target()) + offset);
    record_settle();
    return good;
}

static bool program(uint32_t offset, const uint8_t *from, size_t count)
{
    record_settle();
    bool good = flash_program(boot_place(target()) + offset, from, count);
    record_settle();
    return good;
}

enum status update_begin(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t announced;
    if (!zcbor_uint32_decode(in, &announced) || !command_end(in))
        return STATUS_MALFORMED;
    if (announced <= IMAGE_HEADER || announced > LONGEST)
        return STATUS_RANGE;
    length = taken = 0;
    /* The image that was there ends with its first sector; only then its state is forgotten. */
    if (!erase(0) || !erase(LONGEST))
        return STATUS_FLASH;
    length = announced;
    return zcbor_uint32_put(out, target()) ? STATUS_OK : STATUS_RANGE;
}

/* Write what comes next; the header is kept back. */
static bool put(const uint8_t *from, size_t count)
{
    for (size_t piece; count; taken += (uint32_t)piece, from += piece, count -= piece) {
        size_t end = taken < IMAGE_HEADER ? IMAGE_HEADER : (taken / FLASH_PAGE + 1) * FLASH_PAGE;
        piece = end - taken < count ? end - taken : count;
        if (taken < IMAGE_HEADER)
            memcpy(head + taken, from, piece);
        else if ((taken % FLASH_SECTOR == 0 && !erase(taken)) || !program(taken, from, piece))
            return false;
    }
    return true;
}

enum status update_write(zcbor_state_t *in, zcbor_state_t *out)
{
    uint32_t offset;
    struct zcbor_string data;
    if (!zcbor_uint32_decode(in, &offset) || !zcbor_bstr_decode(in, &data) || !command_end(in))
        return STATUS_MALFORMED;
    if (!length)
        return STATUS_STATE;
    if (offset != taken || !data.len || data.len > length - taken)
        return STATUS_RANGE;
    if (!put(data.value, data.len)) {
        length = 0;
        return STATUS_FLASH;
    }
    return zcbor_nil_put(out, NULL) ? STATUS_OK : STATUS_RANGE;
}

/* Make the slot hold an image. */
static bool arm(void)
{
    uint8_t found[IMAGE_HEADER];
    return program(0, head, sizeof head) && flash_read(boot_place(target()), found, sizeof found)
        && !memcmp(found, head, sizeof head);
}

enum status update_end(zcbor_state_t *in, zcbor_state_t *out)
{
    struct image image;
    if (!command_end(in))
        return STATUS_MALFORMED;
    if (!length || taken != length)
        return STATUS_STATE;
    length = 0;
    enum boot_verdict verdict =
        image_check(boot_place(target()), head, boot_least_counter(), SIGNER_KEY, &image);
    log_event(EVENT_UPDATE, target() << 8 | verdict);
    if (verdict == BOOT_STARTED) {
        /* The loader would go on starting the one that runs. */
        if (report.slot != BOOT_SLOT_GOLDEN && image.version <= report.version)
            return STATUS_STATE;
        if (!arm())
            return STATUS_FLASH;
    }
    return zcbor_uint32_put(out, verdict) ? STATUS_OK : STATUS_RANGE;
}
