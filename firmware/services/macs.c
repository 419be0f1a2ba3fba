#include "macs.h"

#include <string.h>

#include "card_layout.h"
#include "card_registers.h"
#include "hal/registers.h"

void macs_start(const uint8_t own[6])
{
    static const uint8_t nothing[6];
    static const uint32_t control[] = {
        CARD_MAC_0_REGISTERS_CONTROL,
#if LAYOUT_PORTS > 1
        CARD_MAC_1_REGISTERS_CONTROL,
#endif
#if LAYOUT_PORTS > 2
        CARD_MAC_2_REGISTERS_CONTROL,
#endif
#if LAYOUT_PORTS > 3
        CARD_MAC_3_REGISTERS_CONTROL,
#endif
    };
    if (!memcmp(own, nothing, sizeof nothing))
        return;
    for (unsigned n = 0; n < LAYOUT_PORTS; n++)
        register_write(
            control[n],
            REGISTER_FIELD(CARD_MAC_0_REGISTERS_CONTROL_RECEIVE, 1)
                | REGISTER_FIELD(CARD_MAC_0_REGISTERS_CONTROL_TRANSMIT, 1)
                | REGISTER_FIELD(CARD_MAC_0_REGISTERS_CONTROL_HONOUR_PAUSE, 1)
                | REGISTER_FIELD(CARD_MAC_0_REGISTERS_CONTROL_LONGEST, LAYOUT_FRAME_BYTES)
        );
}
