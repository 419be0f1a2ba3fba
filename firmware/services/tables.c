#include "tables.h"

#include <string.h>

#include "bytes.h"
#include "card_layout.h"
#include "card_registers.h"
#include "hal/registers.h"
#include "mapping.h"
#include "ports.h"
#include "station.h"
#include "tunnel.h"

#if LAYOUT_PEERS
#define ENDPOINT CARD_OVERLAY_TUNNEL_ENDPOINT_WORDS
#else
#define ENDPOINT CARD_OVERLAY_TUNNEL_WORDS
#endif

enum { OUTER = LAYOUT_IPV6 ? 14 + 40 + 8 + 8 : 14 + 20 + 8 + 8 };

void tables_open(const struct addresses *own)
{
    static const uint8_t nothing[16];
    mapping_clear();
    tunnel_open(own);
    ports_close();
    if (memcmp(own->mac, nothing, 6)) {
        register_write(ENDPOINT + 4 * LAYOUT_ENDPOINT_MAC, get16(own->mac));
        bytes_to_registers(ENDPOINT + 4 * (LAYOUT_ENDPOINT_MAC + 1), own->mac + 2, 1);
        bytes_to_registers(ENDPOINT + 4 * LAYOUT_ENDPOINT_IPV4, own->ipv4, 1);
        bytes_to_registers(ENDPOINT + 4 * LAYOUT_ENDPOINT_IPV6, own->ipv6, 4);
        if (memcmp(own->ipv4, nothing, 4))
            station_neighbour(LAYOUT_UNDERLAY_VNI, own->ipv4, 4, own->mac);
        if (LAYOUT_IPV6 && memcmp(own->ipv6, nothing, 16))
            station_neighbour(LAYOUT_UNDERLAY_VNI, own->ipv6, 16, own->mac);
        register_write(
            CARD_OVERLAY_TRANSMIT_SIZE_LIMIT,
            REGISTER_FIELD(CARD_OVERLAY_TRANSMIT_SIZE_LIMIT_FRAME, LAYOUT_FRAME_BYTES - OUTER)
        );
    }
}
