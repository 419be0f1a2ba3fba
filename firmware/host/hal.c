#include "hal.h"

#include <arpa/inet.h>
#include <bearssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bus.h"
#include "card_layout.h"
#include "card_registers.h"
#include "hal/card.h"
#include "hal/flash.h"
#include "hal/keystore.h"
#include "hal/measurement.h"
#include "hal/packet.h"
#include "hal/random.h"
#include "hal/registers.h"
#include "hal/sha.h"
#include "hal/timer.h"
#include "hal/uart.h"
#include "hal/watchdog.h"
#include "services/bytes.h"
#include "services/policy.h"
#include "protocol.h"

enum { FLASH_BYTES = 8 << 20, BUSY_POLLS = 3 };

static struct host_options options;
static int udp, frames;
static struct sockaddr_in frames_peer;
static uint8_t *flash;
static uint32_t locked_below, busy;
static long operations;
static uint8_t registers[MEASUREMENT_REGISTERS][MEASUREMENT_BYTES];
static bool secret_locked;
static uint64_t drawn, deadline;
static union {
    br_sha384_context sha384;
    br_sha512_context sha512;
} hash;
static enum sha_kind hashing;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static int listen_on(uint16_t port, uint16_t *bound)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at)
        || getsockname(fd, (struct sockaddr *)&at, &length))
        fail("socket");
    *bound = ntohs(at.sin_port);
    return fd;
}

void host_open(const struct host_options *given)
{
    options = *given;
    udp = listen_on(options.udp, &options.udp);
    frames = listen_on(options.frames, &options.frames);
    flash = map_file(options.flash, FLASH_BYTES, 0xff);
    if (options.card)
        bus_open_card(options.card);
    else
        bus_open_file(options.registers);
    printf("udp %u frames %u\n", options.udp, options.frames);
    fflush(stdout);
}

void host_wait(bool work)
{
    struct pollfd both[] = {{.fd = udp, .events = POLLIN}, {.fd = frames, .events = POLLIN}};
    /* Nobody says when a host has a command: a look at the mailbox now and then. */
    poll(both, 2, work ? 0 : options.card ? 2 : 1);
    if (deadline && timer_now() > deadline)
        exit(HOST_RESET);
}

unsigned card_functions(void)
{
    return LAYOUT_FUNCTIONS;
}

unsigned card_ports(void)
{
    return LAYOUT_PORTS;
}

void card_release(uint32_t functions)
{
    register_write(CARD_CARD_RELEASE, functions);
}

uint64_t timer_now(void)
{
    static uint64_t began;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t at = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    if (!began)
        began = at;
    return (at - began) * (options.speed ? options.speed : 1);
}

uint32_t timer_hz(void)
{
    return 1000000000u;
}

void watchdog_feed(uint32_t cycles)
{
    deadline = timer_now() + (uint64_t)cycles * (options.speed ? options.speed : 1);
}

void watchdog_reset(void)
{
    exit(HOST_RESET);
}

bool watchdog_was_reset(void)
{
    return options.watchdog;
}

size_t uart_write(const char *text, size_t length)
{
    return fwrite(text, 1, length, stderr);
}

void sha_begin(enum sha_kind kind)
{
    hashing = kind;
    if (kind == SHA384)
        br_sha384_init(&hash.sha384);
    else
        br_sha512_init(&hash.sha512);
}

void sha_update(const void *from, size_t length)
{
    if (hashing == SHA384)
        br_sha384_update(&hash.sha384, from, length);
    else
        br_sha512_update(&hash.sha512, from, length);
}

void sha_finish(uint8_t *digest)
{
    if (hashing == SHA384)
        br_sha384_out(&hash.sha384, digest);
    else
        br_sha512_out(&hash.sha512, digest);
}

bool keystore_derive(const void *context, size_t length, uint8_t key[KEYSTORE_DERIVED])
{
    memset(key, 0, KEYSTORE_DERIVED);
    if (secret_locked)
        return false;
    sha_begin(SHA384);
    sha_update(options.secret, sizeof options.secret);
    sha_update(context, length);
    sha_finish(key);
    return true;
}

void keystore_lock(void)
{
    secret_locked = true;
}

void keystore_zeroise(void)
{
    memset(options.secret, 0, sizeof options.secret);
    secret_locked = true;
}

void measurement_extend(enum measurement which, const uint8_t digest[MEASUREMENT_BYTES])
{
    sha_begin(SHA384);
    sha_update(registers[which], MEASUREMENT_BYTES);
    sha_update(digest, MEASUREMENT_BYTES);
    sha_finish(registers[which]);
}

void measurement_read(enum measurement which, uint8_t value[MEASUREMENT_BYTES])
{
    memcpy(value, registers[which], MEASUREMENT_BYTES);
}

bool random_read(void *to, size_t length)
{
    if (options.broken_random)
        return false;
    if (!options.seed)
        return getrandom(to, length, 0) == (ssize_t)length;
    for (uint8_t *at = to; length--; at++) {
        uint64_t state = options.seed + ++drawn * 0x9e3779b97f4a7c15u;
        state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
        *at = (uint8_t)((state ^ state >> 27) * 0x94d049bb133111ebu >> 56);
    }
    return true;
}

bool random_predictable(void)
{
    return options.seed;
}

/* Count a flash operation; in the middle of the one that was chosen, power fails. */
static size_t until_cut(size_t length)
{
    return ++operations == options.cut ? length / 2 : length;
}

static void cut(void)
{
    if (operations == options.cut)
        exit(HOST_CUT);
}

bool flash_busy(void)
{
    return busy && --busy;
}

bool flash_read(uint32_t address, void *to, size_t length)
{
    if (flash_busy() || address > FLASH_BYTES || length > FLASH_BYTES - address)
        return false;
    memcpy(to, flash + address, length);
    return true;
}

bool flash_program(uint32_t address, const void *from, size_t length)
{
    if (flash_busy() || address < locked_below || length > FLASH_PAGE - address % FLASH_PAGE
        || address >= FLASH_BYTES)
        return false;
    const uint8_t *bytes = from;
    length = until_cut(length);
    for (size_t n = 0; n < length; n++)
        flash[address + n] &= bytes[n];
    cut();
    busy = BUSY_POLLS;
    return true;
}

bool flash_erase(uint32_t address)
{
    if (flash_busy() || address < locked_below || address % FLASH_SECTOR || address >= FLASH_BYTES)
        return false;
    memset(flash + address, 0xff, until_cut(FLASH_SECTOR));
    cut();
    busy = BUSY_POLLS;
    return true;
}

void flash_lock(uint32_t end)
{
    end = (end + FLASH_SECTOR - 1) / FLASH_SECTOR * FLASH_SECTOR;
    if (end > locked_below)
        locked_below = end;
}

/* Datagrams of a client on this host, as if they came in frames from 127.0.0.1. */
enum { HEAD = 14 + 20 + 8 };
static const uint8_t client_mac[6] = {2, 0, 0, 0, 0, 0xfe};

static size_t take_datagram(uint8_t *frame)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(
        udp, frame + HEAD, PACKET_LONGEST - HEAD, 0, (struct sockaddr *)&from, &size
    );
    if (length < 0)
        return 0;
    const struct addresses *own = &policy()->addresses;
    memcpy(frame, own->mac, 6);
    memcpy(frame + 6, client_mac, 6);
    put16(frame + 12, 0x0800);
    uint8_t *ip = frame + 14;
    memset(ip, 0, 28);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(28 + length));
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, &from.sin_addr, 4);
    memcpy(ip + 16, own->ipv4, 4);
    uint32_t sum = 0;
    for (int n = 0; n < 20; n += 2)
        sum += get16(ip + n);
    sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~((sum & 0xffff) + (sum >> 16)));
    put16(ip + 20, ntohs(from.sin_port));
    put16(ip + 22, MANAGEMENT_PORT);
    put16(ip + 24, (uint32_t)(8 + length));
    return HEAD + (size_t)length;
}

/* Frames come from a test, which sends what it wants. */
void packet_resolve(const uint8_t address[4])
{
    (void)address;
}

size_t packet_receive(void *to, size_t room, unsigned *port)
{
    uint8_t frame[PACKET_LONGEST];
    size_t length = take_datagram(frame);
    *port = !length;
    if (!length) {
        socklen_t size = sizeof frames_peer;
        ssize_t got =
            recvfrom(frames, frame, sizeof frame, 0, (struct sockaddr *)&frames_peer, &size);
        length = got > 0 ? (size_t)got : 0;
    }
    if (length > room)
        return 0;
    memcpy(to, frame, length);
    return length;
}

bool packet_send(const void *from, size_t length, unsigned port)
{
    const uint8_t *frame = from;
    if (port) {
        sendto(frames, from, length, 0, (struct sockaddr *)&frames_peer, sizeof frames_peer);
        return true;
    }
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(get16(frame + 36))};
    memcpy(&to.sin_addr, frame + 30, 4);
    sendto(udp, frame + HEAD, length - HEAD, 0, (struct sockaddr *)&to, sizeof to);
    return true;
}
