/* A serial line for people. Nothing else depends on it; it takes no commands. */
#ifndef HAL_UART_H
#define HAL_UART_H

#include <stddef.h>

/* Send as many of `length` bytes as fit now; returns how many. Never waits. */
size_t uart_write(const char *text, size_t length);

#endif
