#include "card.h"

#include "card_registers.h"
#include "registers.h"

unsigned card_functions(void) {
    return REGISTER_GET(CARD_CARD_IDENTITY_FUNCTIONS, register_read(CARD_CARD_IDENTITY));
}

unsigned card_ports(void) {
    return REGISTER_GET(CARD_CARD_IDENTITY_PORTS, register_read(CARD_CARD_IDENTITY));
}

void card_release(uint32_t functions) { register_write(CARD_CARD_RELEASE, functions); }
