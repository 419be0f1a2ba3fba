// The verilated card's pins by what they are. ``bind`` is generated with the model.
#pragma once

#include <verilated.h>

#include <cstdint>
#include <functional>
#include <vector>

class Card;

namespace niter {

struct GmiiPins {
    CData *tx_clk, *tx_rst, *tx_data, *tx_enable, *tx_error;
    CData *rx_clk, *rx_rst, *rx_data, *rx_valid, *rx_error;
};

// A part of the card with a clock of its own, which rises where the part says that it is active.
struct PartPins {
    CData *clk, *active;
};

// Of a card's processor.
struct ProcessorPins {
    CData *cs_n = nullptr, *sck, *copi, *cipo, *uart_tx;
};

struct Pins {
    CData *clk, *rst;
    CData *up, *rx_valid, *rx_ready, *tx_valid, *tx_ready, *infinite;
    WData *rx_payload, *tx_payload;
    QData *limit, *allocated;
    std::function<void(uint32_t)> set_csr_address;
    CData *csr_read, *csr_write;
    IData *csr_read_data, *csr_write_data;
    std::vector<GmiiPins> ports;
    // A model for waves has none of these.
    std::vector<PartPins> parts;
    CData *link_clk = nullptr, *csr_clk = nullptr;  // rise when what comes from outside has changed
    ProcessorPins processor;  // no cs_n: there is none
};

Pins bind(Card& card);

}  // namespace niter
