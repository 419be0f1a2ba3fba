/* Where the services keep things in flash: byte addresses, behind the boot slots. */
#ifndef SERVICES_PLACES_H
#define SERVICES_PLACES_H

enum {
    PLACE_POLICY = 0x250000,       /* Two sectors, written in turn. */
    PLACE_CHAIN = 0x252000,        /* Certificates of the root and of the device key. */
    PLACE_CERTIFICATE = 0x253000,  /* That of the alias key, kept between boots. */
};

#endif
