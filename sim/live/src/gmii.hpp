// One port's GMII (IEEE 802.3, clauses 3, 4 and 35): frames in and out, octet by octet.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "tlp.hpp"

namespace niter {

// Frames for the card: preamble, delimiter, padding, FCS and gap are put round them.
class GmiiSource {
public:
    struct Octet {
        uint8_t data;
        bool valid;
    };

    void put(Bytes frame) { frames_.push_back(std::move(frame)); }
    size_t waiting() const { return frames_.size(); }
    // The card's half of the port has something to do, or may still have.
    bool busy() const { return idle_ < kSettle || !frames_.empty(); }
    void wake() { idle_ = 0; }
    Octet next();

private:
    // Clocks after a frame that the receiver needs to hand its end on, with some to spare.
    static constexpr unsigned kSettle = 96;

    std::deque<Bytes> frames_;
    Bytes sending_;
    size_t at_ = 0;
    unsigned gap_ = 0, idle_ = 0;
};

// Frames from the card, which must be whole.
class GmiiSink {
public:
    explicit GmiiSink(std::function<void(Bytes)> deliver) : deliver_(std::move(deliver)) {}
    void take(uint8_t data, bool enable, bool error);
    bool busy() const { return idle_ < kSettle; }
    void wake() { idle_ = 0; }

    uint64_t bad = 0;

private:
    static constexpr unsigned kSettle = 256;
    void finish();

    std::function<void(Bytes)> deliver_;
    Bytes frame_;
    bool error_ = false;
    unsigned idle_ = 0;
};

}  // namespace niter
