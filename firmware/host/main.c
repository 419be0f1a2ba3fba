/*
 * The card's firmware as a process: boot, as far as its services can see it, and then the services,
 * on a host's loopback. Prints the ports that it listens on.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boot_layout.h"
#include "crypto/certify.h"
#include "crypto/dice.h"
#include "crypto/job.h"
#include "hal.h"
#include "hal/keystore.h"
#include "hal/measurement.h"
#include "hal/sha.h"
#include "services/services.h"

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static void measure(enum measurement which, const char *text, uint8_t digest[48])
{
    sha_begin(SHA384);
    sha_update(text, strlen(text));
    sha_finish(digest);
    measurement_extend(which, digest);
}

/* What stands for the images that a boot ROM would measure: their texts, from the command line. */
static void boot(const char *firmware, const char *signer, bool certify, struct boot_keys *keys)
{
    uint8_t other[48], firmware_digest[48], signer_digest[48];
    measure(MEASURE_BITSTREAM, "host", other);
    measure(MEASURE_ROM, "host", other);
    measure(MEASURE_FIRMWARE, firmware, firmware_digest);
    measure(MEASURE_SIGNER, signer, signer_digest);
    dice_derive(firmware_digest, signer_digest, keys);
    if (certify && !certify_present(BOOT_CERTIFICATE_AT, keys))
        certify_alias(BOOT_CERTIFICATE_AT, firmware_digest, keys);
    keystore_lock();
}

/* What manufacture asks a card for: the public half of its device key. */
static void enrol(void)
{
    uint8_t secret[P384_SECRET], public_key[P384_PUBLIC];
    certify_device(secret, public_key);
    for (size_t n = 0; n < sizeof public_key; n++)
        printf("%02x", public_key[n]);
    puts("");
}

int main(int count, char **arguments)
{
    static const struct option names[] = {
        {"udp", required_argument, NULL, 'u'},      {"frames", required_argument, NULL, 'f'},
        {"flash", required_argument, NULL, 'F'},    {"registers", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},     {"broken-random", no_argument, NULL, 'b'},
        {"cut", required_argument, NULL, 'c'},      {"watchdog", no_argument, NULL, 'w'},
        {"firmware", required_argument, NULL, 'i'}, {"signer", required_argument, NULL, 'k'},
        {"secret", required_argument, NULL, 'd'},   {"certify", no_argument, NULL, 'C'},
        {"enrol", no_argument, NULL, 'e'},          {"slot", required_argument, NULL, 'S'},
        {"speed", required_argument, NULL, 'p'},    {"card", required_argument, NULL, 'B'},
        {0},
    };
    struct host_options options = {0};
    const char *firmware = "firmware", *signer = "signer";
    bool certify = false, enrolling = false;
    uint8_t slot = BOOT_SLOT_A;
    for (int option; (option = getopt_long(count, arguments, "", names, NULL)) != -1;)
        switch (option) {
        case 'u':
            options.udp = (uint16_t)atoi(optarg);
            break;
        case 'f':
            options.frames = (uint16_t)atoi(optarg);
            break;
        case 'F':
            options.flash = optarg;
            break;
        case 'r':
            options.registers = optarg;
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            options.broken_random = true;
            break;
        case 'c':
            options.cut = atol(optarg);
            break;
        case 'w':
            options.watchdog = true;
            break;
        case 'i':
            firmware = optarg;
            break;
        case 'k':
            signer = optarg;
            break;
        case 'd':
            strncpy((char *)options.secret, optarg, sizeof options.secret);
            break;
        case 'B':
            options.card = optarg;
            break;
        case 'S':
            slot = (uint8_t)atoi(optarg) % BOOT_SLOTS;
            break;
        case 'p':
            options.speed = (uint32_t)atoi(optarg);
            break;
        case 'C':
            certify = true;
            break;
        case 'e':
            enrolling = true;
            break;
        default:
            return 2;
        }
    if (!options.flash || (!options.registers && !options.card)) {
        fputs("--flash and --registers name the files that stand for both\n", stderr);
        return 2;
    }
    signal(SIGTERM, stop);
    host_open(&options);
    struct handover handover = {.report = {.slot = slot, .counter = 1, .version = 1u << 16}};
    handover.report.verdict[slot] = BOOT_STARTED;
    if (enrolling) {
        enrol();
        return 0;
    }
    boot(firmware, signer, certify, &handover.keys);
    services_open(&handover);
    while (!stopped) {
        services_turn();
        host_wait(job_busy());
    }
    return 0;
}
