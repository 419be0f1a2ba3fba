#include "uart.h"

#include "card_registers.h"
#include "registers.h"

size_t uart_write(const char *text, size_t length) {
    size_t sent = 0;
    while (sent < length && register_read(CARD_SOC_UART_STATUS)) {
        register_write(CARD_SOC_UART_DATA, (uint8_t)text[sent++]);
    }
    return sent;
}
