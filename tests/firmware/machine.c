/*
 * The soft core and what it finds on the card's control bus, for this machine: it runs the same boot
 * ROM and the same flash as a card does, instruction by instruction (RISC-V unprivileged 20191213,
 * RV32IMC). Engines are words that keep what is written.
 *
 *     machine ROM FLASH REGISTERS RAM_BYTES CUT RESETS
 *
 * ROM and FLASH are files, REGISTERS one that holds the control bus' words for a test to look at. Each
 * datagram to the UDP port whose number is printed is a frame from the wire; the card's go back. The
 * console is standard error, which also tells how many cycles each answer took, and how many bytes of the
 * main stack the boot code and the firmware have used until then. CUT is the number of
 * the flash operation in the middle of which power fails, 0 none; RESETS how often the watchdog has
 * reset the card. The process ends when it does so again: status 3, 4 when an instruction is none, 5
 * when power fails. Time: an instruction is a cycle, a line that the cache lacks twelve more, a load
 * two, an access of the control bus seven, a word of the flash 76.
 */
#include <arpa/inet.h>
#include <bearssl.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot_layout.h"
#include "card_layout.h"
#include "card_registers.h"

#define GET(field, word) (((word) & field##_MASK) >> field##_SHIFT)

enum { ROM = 2048, RAM_BASE = BOOT_IMAGE_BASE, LINES = 128, LINE = 32, MISS = 12, LOAD = 2, BUS = 7, FLASH_WORD = 76 };
enum { RESET = 3, ILLEGAL = 4, CUT = 5, HERTZ = 62500000, LONGEST = 1518 };

static uint8_t rom[ROM], *ram, *flash;
static uint32_t ram_bytes, flash_bytes, *bus, x[32], pc;
static uint64_t cycles, deadline = UINT64_MAX;
static uint32_t tags[LINES];
static int udp;
static struct sockaddr_in peer;

static _Noreturn void stop(int status, const char *why, uint32_t value) {
    fprintf(stderr, "\n%s %08x at %08x after %llu cycles\n", why, value, pc, (unsigned long long)cycles);
    msync(bus, CARD_SIZE, MS_SYNC);
    exit(status);
}

/* Flash, behind its guard. */

static uint32_t flash_at, flash_left;
static bool programming, denied;
/* When the next word has come. The part waits for the one before to be taken. */
static uint64_t flash_ready;
/* Operations until power fails, and words of the last one. */
static long operations, cut_words = -1;

static bool inside(uint32_t region, uint32_t address) {
    uint32_t word = bus[region / 4], block = address >> 16;
    return word >> 16 & 1 && block >= (word & 0xff) && block <= (word >> 8 & 0xff);
}

static void flash_command(uint32_t word) {
    uint32_t operation = word & 3;
    flash_at = bus[CARD_SOC_FLASH_ADDRESS / 4] % flash_bytes;
    flash_left = GET(CARD_SOC_FLASH_COMMAND_WORDS, word);
    programming = operation == CARD_SOC_FLASH_COMMAND_OPERATION_PROGRAM;
    /* Opcode, address and a word. */
    flash_ready = cycles + 2 * FLASH_WORD;
    bool changes = programming || operation == CARD_SOC_FLASH_COMMAND_OPERATION_ERASE;
    if (changes && !inside(CARD_SOC_GUARD_WRITABLE, flash_at)) {
        denied = true;
        flash_left = programming ? flash_left : 0;
        changes = false;
    }
    bool cut = changes && !--operations;
    if (changes && operation == CARD_SOC_FLASH_COMMAND_OPERATION_ERASE) {
        memset(flash + flash_at / 4096 * 4096, 0xff, cut ? 2048 : 4096);
        if (cut) stop(CUT, "power", flash_at);
    }
    if (cut) cut_words = flash_left / 2;
    if (operation == CARD_SOC_FLASH_COMMAND_OPERATION_STATUS) flash_left = 1;
    if (operation >= CARD_SOC_FLASH_COMMAND_OPERATION_ERASE) flash_at = UINT32_MAX;
}

static uint32_t flash_read(void) {
    uint32_t word = 0;
    if (!flash_left || programming) return 0;
    flash_left--;
    if (flash_at == UINT32_MAX) return 0;
    bool hidden = bus[CARD_SOC_GUARD_LOCK / 4] && inside(CARD_SOC_GUARD_SECRET, flash_at);
    if (hidden) denied = true;
    else memcpy(&word, flash + flash_at % flash_bytes, 4);
    flash_at += 4;
    flash_ready = cycles + FLASH_WORD;
    return word;
}

static void flash_write(uint32_t word) {
    if (!programming || !flash_left) return;
    flash_left--;
    if (!cut_words--) stop(CUT, "power", flash_at);
    for (int n = 0; n < 4 && inside(CARD_SOC_GUARD_WRITABLE, flash_at); n++)
        flash[flash_at + n] &= (uint8_t)(word >> 8 * n);
    flash_at += 4;
}

/* The hash engine, shared with the measurements. */

static union {
    br_sha384_context sha384;
    br_sha512_context sha512;
} hash;
static bool longer, done;
static uint8_t digest[64], pcr[32][48], input[48];
static unsigned digest_at, input_at;

static void hash_bytes(const void *from, size_t length) {
    if (longer) br_sha512_update(&hash.sha512, from, length);
    else br_sha384_update(&hash.sha384, from, length);
}

static void hash_begin(bool kind) {
    longer = kind;
    done = false;
    digest_at = 0;
    if (longer) br_sha512_init(&hash.sha512);
    else br_sha384_init(&hash.sha384);
}

/* Software's messages are padded: behind the last block the state is the digest. */
static void hash_finish(uint32_t word) {
    hash_bytes(&word, 4);
    const uint64_t *state = longer ? hash.sha512.val : hash.sha384.val;
    for (int n = 0; n < 64; n++) digest[n] = (uint8_t)(state[n / 8] >> (56 - n % 8 * 8));
    done = true;
}

static void extend(uint32_t index) {
    hash_begin(false);
    hash_bytes(pcr[index & 31], 48);
    hash_bytes(input, 48);
    br_sha384_out(&hash.sha384, pcr[index & 31]);
    input_at = 0;
}

/* Frames. */

static uint8_t received[2048], sent[2048];
static uint32_t received_length, received_at, sent_at;
static uint64_t asked;

static void take_frame(void) {
    socklen_t size = sizeof peer;
    if (received_length || !bus[CARD_SOC_PACKET_PORT_LISTEN / 4]) return;
    ssize_t length = recvfrom(udp, received, LONGEST, 0, (struct sockaddr *)&peer, &size);
    if (length > 0) {
        received_length = (uint32_t)length;
        asked = cycles;
    }
    received_at = 0;
}

/* The lowest address of the main stack so far. */
static uint32_t lowest = UINT32_MAX;

static void send_frame(uint32_t word) {
    fprintf(stderr, "answered %llu\n", (unsigned long long)(cycles - asked));
    fprintf(stderr, "stack %u\n", BOOT_HANDOVER_BASE - lowest);
    sendto(udp, sent, GET(CARD_SOC_PACKET_PORT_SEND_LENGTH, word), 0, (struct sockaddr *)&peer, sizeof peer);
    sent_at = 0;
}

/* Words of a simulation's random source: others after each reset. */
static uint64_t random_state;
static uint32_t random_word(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

static uint32_t word_of(const uint8_t *from) {
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}

static uint32_t bus_read(uint32_t at) {
    cycles += BUS;
    if (at >= CARD_SOC_MEASUREMENTS_REGISTERS_VALUES && at < CARD_SOC_MEASUREMENTS_COMMANDS_INPUT) {
        uint32_t offset = at - CARD_SOC_MEASUREMENTS_REGISTERS_VALUES;
        return offset % 64 < 48 ? word_of(pcr[offset / 64] + offset % 64) : 0;
    }
    switch (at) {
    case CARD_SOC_MEASUREMENTS_COMMANDS_STATUS: return 0;
    case CARD_SOC_HASH_STATUS: return (done ? CARD_SOC_HASH_STATUS_DONE_MASK : 0) | CARD_SOC_HASH_STATUS_ROOM_MASK;
    case CARD_SOC_HASH_DIGEST: digest_at += 4; return word_of(digest + (digest_at - 4) % 64);
    case CARD_SOC_FLASH_STATUS: return flash_left ? 1 | (programming || cycles >= flash_ready) << 1 : 0;
    case CARD_SOC_FLASH_DATA: return flash_read();
    case CARD_SOC_GUARD_DENIED: return denied ? CARD_SOC_GUARD_DENIED_ANY_MASK : 0;
    case CARD_SOC_RANDOM_STATUS: return 1 | 4 | 8;
    case CARD_SOC_RANDOM_WORD: return random_word();
    case CARD_SOC_PACKET_PORT_RECEIVE: take_frame(); return received_length;
    case CARD_SOC_PACKET_FRAME_RECEIVED: received_at += 4; return word_of(received + (received_at - 4) % 2044);
    case CARD_SOC_PACKET_PORT_SEND: return 0;
    case CARD_SOC_TIMER_CYCLES: return (uint32_t)cycles;
    case CARD_SOC_TIMER_RATE: return HERTZ;
    case CARD_SOC_UART_STATUS: return 1;
    case CARD_CARD_IDENTITY: return LAYOUT_FUNCTIONS | LAYOUT_PORTS << 4;
    default: return at < CARD_SIZE ? bus[at / 4] : 0;
    }
}

static void bus_write(uint32_t at, uint32_t word) {
    cycles += BUS;
    bool frozen = at >= CARD_SOC_GUARD_WRITABLE && at <= CARD_SOC_GUARD_LOCK && bus[CARD_SOC_GUARD_LOCK / 4];
    if (at < CARD_SIZE && !frozen) bus[at / 4] = word;
    switch (at) {
    case CARD_SOC_MEASUREMENTS_COMMANDS_INPUT: memcpy(input + input_at++ % 12 * 4, &word, 4); break;
    case CARD_SOC_MEASUREMENTS_COMMANDS_EXTEND: extend(word); break;
    case CARD_SOC_HASH_CONTROL: hash_begin(word & 1); break;
    case CARD_SOC_HASH_DATA: hash_bytes(&word, 4); break;
    case CARD_SOC_HASH_FINISH: hash_finish(word); break;
    case CARD_SOC_FLASH_COMMAND: flash_command(word); break;
    case CARD_SOC_FLASH_DATA: flash_write(word); break;
    case CARD_SOC_GUARD_DENIED: denied = false; break;
    case CARD_SOC_PACKET_PORT_DONE: received_length = 0; break;
    case CARD_SOC_PACKET_PORT_CONTENT: memcpy(sent + sent_at % 2044, &word, 4); sent_at += 4; break;
    case CARD_SOC_PACKET_PORT_SEND: send_frame(word); break;
    case CARD_SOC_WATCHDOG_FEED: deadline = cycles + ((uint64_t)word << 16); break;
    case CARD_SOC_UART_DATA:
        fprintf(stderr, "stack %u\n", BOOT_HANDOVER_BASE - lowest);
        lowest = UINT32_MAX;
        fputc((int)word, stderr);
        fprintf(stderr, " %llu\n", (unsigned long long)cycles);
        break;
    case CARD_CARD_RELEASE: fprintf(stderr, "released %llu\n", (unsigned long long)cycles); break;
    default: break;
    }
}

/* The core. */

static void cached(uint32_t address) {
    uint32_t *tag = &tags[address / LINE % LINES];
    if (*tag != address / LINE + 1) cycles += MISS;
    *tag = address / LINE + 1;
}

static uint8_t *memory(uint32_t address, unsigned size) {
    if (address + size <= ROM) return rom + address;
    if (address >= RAM_BASE && address - RAM_BASE + size <= ram_bytes) return ram + (address - RAM_BASE);
    stop(ILLEGAL, "no memory", address);
}

static uint32_t load(uint32_t address, unsigned size) {
    uint32_t word = 0;
    if (address % size) stop(ILLEGAL, "misaligned", address);
    if (address >> 31) return bus_read(address & 0x7fffffff);
    cycles += LOAD;
    memcpy(&word, memory(address, size), size);
    return word;
}

static void store(uint32_t address, uint32_t word, unsigned size) {
    if (address % size) stop(ILLEGAL, "misaligned", address);
    if (address >> 31) bus_write(address & 0x7fffffff, word);
    else if (address >= RAM_BASE) memcpy(memory(address, size), &word, size);
}

static uint32_t bits(uint32_t word, int high, int low) { return word >> low & ((2u << (high - low)) - 1); }
static int32_t extended(uint32_t word, int width) { return (int32_t)(word << (32 - width)) >> (32 - width); }

static uint32_t multiply(uint32_t f3, uint32_t a, uint32_t b) {
    int64_t left = (int32_t)a, right = (int32_t)b;
    switch (f3) {
    case 0: return a * b;
    case 1: return (uint32_t)((uint64_t)(left * right) >> 32);
    case 2: return (uint32_t)((uint64_t)(left * (int64_t)(uint64_t)b) >> 32);
    case 3: return (uint32_t)((uint64_t)a * b >> 32);
    }
    cycles += 33;
    if (!b) return f3 & 2 ? a : UINT32_MAX;
    bool most = a == 0x80000000 && b == UINT32_MAX;
    switch (f3) {
    case 4: return most ? a : (uint32_t)((int32_t)a / (int32_t)b);
    case 5: return a / b;
    case 6: return most ? 0 : (uint32_t)((int32_t)a % (int32_t)b);
    default: return a % b;
    }
}

static uint32_t alu(uint32_t f3, bool alternative, uint32_t a, uint32_t b) {
    switch (f3) {
    case 0: return alternative ? a - b : a + b;
    case 1: return a << (b & 31);
    case 2: return (int32_t)a < (int32_t)b;
    case 3: return a < b;
    case 4: return a ^ b;
    case 5: return alternative ? (uint32_t)((int32_t)a >> (b & 31)) : a >> (b & 31);
    case 6: return a | b;
    default: return a & b;
    }
}

static bool taken(uint32_t f3, uint32_t a, uint32_t b) {
    bool holds = f3 < 2 ? a == b : f3 < 6 ? (int32_t)a < (int32_t)b : a < b;
    return holds != (f3 & 1);
}

static void full(uint32_t word) {
    uint32_t rd = bits(word, 11, 7), f3 = bits(word, 14, 12), next = pc + 4, result = 0;
    uint32_t a = x[bits(word, 19, 15)], b = x[bits(word, 24, 20)];
    int32_t immediate = (int32_t)word >> 20;
    int32_t to = extended(bits(word, 31, 25) << 5 | rd, 12);
    bool writes = true;
    switch (word & 0x7f) {
    case 0x37: result = word & 0xfffff000; break;
    case 0x17: result = pc + (word & 0xfffff000); break;
    case 0x6f:
        result = next;
        next = pc + extended(bits(word, 31, 31) << 20 | bits(word, 19, 12) << 12 | bits(word, 20, 20) << 11 | bits(word, 30, 21) << 1, 21);
        break;
    case 0x67: result = next; next = (a + immediate) & ~1u; break;
    case 0x63:
        writes = false;
        if (taken(f3, a, b))
            next = pc + extended(bits(word, 31, 31) << 12 | bits(word, 7, 7) << 11 | bits(word, 30, 25) << 5 | bits(word, 11, 8) << 1, 13);
        break;
    case 0x03:
        result = load(a + immediate, 1u << (f3 & 3));
        if (f3 == 0) result = extended(result, 8);
        if (f3 == 1) result = extended(result, 16);
        break;
    case 0x23: writes = false; store(a + to, b, 1u << f3); break;
    case 0x13: result = alu(f3, f3 == 5 && word >> 30 & 1, a, f3 == 1 || f3 == 5 ? bits(word, 24, 20) : (uint32_t)immediate); break;
    case 0x33: result = word >> 25 & 1 ? multiply(f3, a, b) : alu(f3, word >> 30 & 1, a, b); break;
    case 0x0f: writes = false; memset(tags, 0, sizeof tags); break;
    default: stop(ILLEGAL, "instruction", word);
    }
    if (writes && rd) x[rd] = result;
    pc = next;
}

/* Short instructions (volume I, 16): the same as a full one each. */
static void compressed(uint32_t c) {
    uint32_t rd = bits(c, 11, 7), rs2 = bits(c, 6, 2), low = 8 + bits(c, 4, 2), high = 8 + bits(c, 9, 7);
    int32_t immediate = extended(bits(c, 12, 12) << 5 | bits(c, 6, 2), 6);
    uint32_t word_offset = bits(c, 12, 10) << 3 | bits(c, 6, 6) << 2 | bits(c, 5, 5) << 6, next = pc + 2;
    int32_t jump = extended(bits(c, 12, 12) << 11 | bits(c, 11, 11) << 4 | bits(c, 10, 9) << 8 | bits(c, 8, 8) << 10 | bits(c, 7, 7) << 6 | bits(c, 6, 6) << 7 | bits(c, 5, 3) << 1 | bits(c, 2, 2) << 5, 12);
    int32_t branch = extended(bits(c, 12, 12) << 8 | bits(c, 11, 10) << 3 | bits(c, 6, 5) << 6 | bits(c, 4, 3) << 1 | bits(c, 2, 2) << 5, 9);
    switch (bits(c, 1, 0) << 3 | bits(c, 15, 13)) {
    case 0x00:
        if (!c) stop(ILLEGAL, "instruction", c);
        x[low] = x[2] + (bits(c, 12, 11) << 4 | bits(c, 10, 7) << 6 | bits(c, 6, 6) << 2 | bits(c, 5, 5) << 3);
        break;
    case 0x02: x[low] = load(x[high] + word_offset, 4); break;
    case 0x06: store(x[high] + word_offset, x[low], 4); break;
    case 0x08: x[rd] += (uint32_t)immediate; break;
    case 0x09: x[1] = next; next = pc + jump; break;
    case 0x0a: x[rd] = (uint32_t)immediate; break;
    case 0x0b:
        if (rd == 2) x[2] += extended(bits(c, 12, 12) << 9 | bits(c, 6, 6) << 4 | bits(c, 5, 5) << 6 | bits(c, 4, 3) << 7 | bits(c, 2, 2) << 5, 10);
        else x[rd] = (uint32_t)immediate << 12;
        break;
    case 0x0c:
        switch (bits(c, 11, 10)) {
        case 0: x[high] >>= rs2; break;
        case 1: x[high] = (uint32_t)((int32_t)x[high] >> rs2); break;
        case 2: x[high] &= (uint32_t)immediate; break;
        default:
            switch (bits(c, 12, 12) << 2 | bits(c, 6, 5)) {
            case 0: x[high] -= x[low]; break;
            case 1: x[high] ^= x[low]; break;
            case 2: x[high] |= x[low]; break;
            case 3: x[high] &= x[low]; break;
            default: stop(ILLEGAL, "instruction", c);
            }
        }
        break;
    case 0x0d: next = pc + jump; break;
    case 0x0e: if (!x[high]) next = pc + branch; break;
    case 0x0f: if (x[high]) next = pc + branch; break;
    case 0x10: x[rd] <<= rs2; break;
    case 0x12: x[rd] = load(x[2] + (bits(c, 12, 12) << 5 | bits(c, 6, 4) << 2 | bits(c, 3, 2) << 6), 4); break;
    case 0x14:
        if (rs2) x[rd] = (bits(c, 12, 12) ? x[rd] : 0) + x[rs2];
        else if (rd) {
            uint32_t target = x[rd] & ~1u;
            if (bits(c, 12, 12)) x[1] = next;
            next = target;
        } else stop(ILLEGAL, "instruction", c);
        break;
    case 0x16: store(x[2] + (bits(c, 12, 9) << 2 | bits(c, 8, 7) << 6), x[rs2], 4); break;
    default: stop(ILLEGAL, "instruction", c);
    }
    x[0] = 0;
    pc = next;
}

static void step(void) {
    uint32_t word = 0;
    if (x[2] < lowest && x[2] >= BOOT_STACK_BOTTOM) lowest = x[2];
    cached(pc);
    memcpy(&word, memory(pc, 2), 2);
    cycles++;
    if ((word & 3) != 3) return compressed(word);
    cached(pc + 2);
    uint16_t second;
    memcpy(&second, memory(pc + 2, 2), 2);
    full(word | (uint32_t)second << 16);
}

static void *map_file(const char *name, size_t size) {
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) || (size && ftruncate(fd, (off_t)size))) exit(2);
    flash_bytes = size ? flash_bytes : (uint32_t)found.st_size;
    void *at = mmap(NULL, size ? size : flash_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) exit(2);
    return at;
}

int main(int count, char **arguments) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    FILE *file = count == 7 ? fopen(arguments[1], "rb") : NULL;
    if (!file || fread(rom, 1, ROM, file) != ROM) return 2;
    flash = map_file(arguments[2], 0);
    bus = map_file(arguments[3], CARD_SIZE);
    memset(bus, 0, CARD_SIZE);
    ram_bytes = (uint32_t)atol(arguments[4]);
    operations = atol(arguments[5]);
    bus[CARD_SOC_WATCHDOG_CAUSE / 4] = atol(arguments[6]) > 0;
    random_state = 0x9e3779b97f4a7c15u * (uint64_t)(1 + atol(arguments[6]));
    ram = calloc(1, ram_bytes);
    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (bind(udp, (struct sockaddr *)&at, sizeof at) || getsockname(udp, (struct sockaddr *)&at, &length)) return 2;
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    while (cycles < deadline) step();
    stop(RESET, "watchdog", 0);
}
