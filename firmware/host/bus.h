/* The control bus of a process on a host: words of a file, or of a card that runs beside it. */
#ifndef HOST_BUS_H
#define HOST_BUS_H

#include <stddef.h>

/* The bus' words are those of a file, shared with whoever looks into it. */
void bus_open_file(const char *name);

/* They are those of a running card, behind its control socket; see docs/live.md. */
void bus_open_card(const char *socket);

/* A file's bytes, shared; a new file is filled with `fill`. Exits when it cannot. */
void *map_file(const char *name, size_t size, int fill);

#endif
