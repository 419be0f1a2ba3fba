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
    unsigned tx_clock, rx_clock;  // if the card's parts have clocks of their own
};

// A part of the card with a clock of its own, which rises where the part says that it is active.
// A clock is known by its trigger's number.
struct PartPins {
    CData* active;
    unsigned clock;
};

// Of a card's processor.
struct ProcessorPins {
    CData *cs_n = nullptr, *sck, *copi, *cipo, *uart_tx;
};

// A handshake inside of the card, about the block request of a tag.
struct TagPins {
    CData *valid = nullptr, *ready, *tag;
};

// Of a storage card, unless its model is for waves.
struct StoragePins {
    TagPins begun, ended, aborted;
    // With NVMe: the word that is stored of a completion queue, and how many of its entries have no
    // interrupt yet, which is what the word of this number says.
    CData *word = nullptr, *late;
    CData late_word;
};

struct Pins {
    static constexpr unsigned kNoClock = ~0u;
    CData *clk, *rst;
    CData *up, *rx_valid, *rx_ready, *tx_valid, *tx_ready, *infinite;
    WData *rx_payload, *tx_payload;
    QData *limit, *allocated;
    std::function<void(uint32_t)> set_csr_address;
    // Cycles from a read to its answer.
    unsigned csr_latency;
    CData *csr_read, *csr_write;
    IData *csr_read_data, *csr_write_data;
    std::vector<GmiiPins> ports;
    // A model for waves has none of these: all its clocks are pins. Of the others the triggers are
    // set for what rises, and the step clears them.
    std::vector<PartPins> parts;
    // These rise when what comes from outside has changed.
    unsigned link_clock, csr_clock, reset_clock = kNoClock, flash_clock = kNoClock;
    QData* triggers = nullptr;
    std::function<void()> step;
    ProcessorPins processor;  // no cs_n: there is none
    StoragePins storage;
};

Pins bind(Card& card);

}  // namespace niter
