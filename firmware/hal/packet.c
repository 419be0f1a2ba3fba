#include "packet.h"

#include "card_registers.h"
#include "registers.h"
#include "words.h"

enum { SHORTEST = 14 };

void packet_listen(unsigned udp_port, uint32_t interval) {
    register_write(CARD_SOC_PACKET_PORT_INTERVAL, interval);
    register_write(CARD_SOC_PACKET_PORT_LISTEN, udp_port);
}

#ifdef CARD_SOC_PACKET_PORT_RESOLVE
void packet_resolve(const uint8_t address[4]) {
    uint32_t number = 0;
    for (int n = 0; n < 4; n++) number = number << 8 | address[n];
    register_write(CARD_SOC_PACKET_PORT_RESOLVE, number);
}
#endif

size_t packet_receive(void *to, size_t room, unsigned *port) {
    uint8_t *next = to;
    uint32_t word = register_read(CARD_SOC_PACKET_PORT_RECEIVE);
    size_t length = REGISTER_GET(CARD_SOC_PACKET_PORT_RECEIVE_LENGTH, word);
    if (!length) return 0;
    *port = REGISTER_GET(CARD_SOC_PACKET_PORT_RECEIVE_PORT, word);
    if (length > room) length = 0;
    for (size_t at = 0; at < length; at += 4) {
        word_to(next + at, register_read(CARD_SOC_PACKET_FRAME_RECEIVED), length - at);
    }
    register_write(CARD_SOC_PACKET_PORT_DONE, 0);
    return length;
}

bool packet_send(const void *from, size_t length, unsigned port) {
    const uint8_t *next = from;
    if (length < SHORTEST || length > PACKET_LONGEST) return false;
    if (register_read(CARD_SOC_PACKET_PORT_SEND) & CARD_SOC_PACKET_PORT_SEND_BUSY_MASK) return false;
    for (size_t at = 0; at < length; at += 4) {
        register_write(CARD_SOC_PACKET_PORT_CONTENT, word_of(next + at, length - at));
    }
    register_write(
        CARD_SOC_PACKET_PORT_SEND,
        REGISTER_FIELD(CARD_SOC_PACKET_PORT_SEND_LENGTH, length) |
            REGISTER_FIELD(CARD_SOC_PACKET_PORT_SEND_PORT, port)
    );
    return true;
}
