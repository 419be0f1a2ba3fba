#include "bus.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "card_registers.h"
#include "hal/registers.h"

enum { MOST_POSTED = 256, LINE = 128 };

static uint32_t *words;
/* Both ways of the card's socket. */
static FILE *card, *to_card;
/* Writes whose answers nobody has looked at. */
static unsigned posted;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

void *map_file(const char *name, size_t size, int fill)
{
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    if (fd < 0)
        fail(name);
    off_t before = lseek(fd, 0, SEEK_END);
    if (ftruncate(fd, (off_t)size))
        fail(name);
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        fail(name);
    if (before != (off_t)size)
        memset(at, fill, size);
    close(fd);
    return at;
}

void bus_open_file(const char *name)
{
    words = map_file(name, CARD_SIZE, 0);
}

void bus_open_card(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(name) >= sizeof at.sun_path) {
        fprintf(stderr, "%s: a path this long names no socket\n", name);
        exit(1);
    }
    strcpy(at.sun_path, name);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof at) || !(card = fdopen(fd, "r"))
        || !(to_card = fdopen(dup(fd), "w")))
        fail(name);
}

static void answer(char line[LINE])
{
    /* The card has ended: so does its processor. */
    if (!fgets(line, LINE, card))
        exit(0);
    if (strncmp(line, "ok", 2)) {
        fprintf(stderr, "the card says: %s", line);
        exit(1);
    }
}

static void settle(void)
{
    char line[LINE];
    fflush(to_card);
    for (; posted; posted--)
        answer(line);
}

uint32_t register_read(uint32_t address)
{
    char line[LINE];
    if (!card)
        return words[address / 4];
    fprintf(to_card, "read %x\n", address / 4);
    settle();
    answer(line);
    return (uint32_t)strtoul(line + 2, NULL, 16);
}

void register_write(uint32_t address, uint32_t value)
{
    if (!card) {
        words[address / 4] = value;
        return;
    }
    fprintf(to_card, "write %x %x\n", address / 4, value);
    if (++posted >= MOST_POSTED)
        settle();
}

uint64_t register_read_counter(uint32_t address)
{
    uint32_t low = register_read(address);
    return (uint64_t)register_read(address + 4) << 32 | low;
}
