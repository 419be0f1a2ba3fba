// The card's LinkPort (niter.pcie.tl.layouts): TLPs as beats both ways, and credits.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>

#include "pins.hpp"
#include "random.hpp"
#include "tlp.hpp"

namespace niter {

// The order of niter.pcie.tl.layouts.Credits.
enum Class { kPosted, kNonposted, kCompletions, kClasses };

class Link {
public:
    // ``stall``: probability that the link does not take a beat of the card's, or leaves a gap
    // between two of its own.
    Link(Pins& pins, Random& random, double stall)
        : pins_(pins), random_(random), stall_(stall) {}

    // Called with each TLP that the card has sent.
    std::function<void(Bytes)> deliver;

    // A TLP of the class may be sent: the card has granted its credits, and none is under way.
    bool may_send(Class kind, size_t payload) const;
    void send(Class kind, const Bytes& tlp, size_t payload);
    // Gives the card's credits for a TLP back.
    void release(Class kind, size_t payload);

    void connect();
    // Nothing passes, either way, for so many cycles; a beat that is offered stays.
    void hold(uint64_t cycles) { held_ = cycles; }
    void set_stall(double stall) { stall_ = stall; }
    // Both in the low half of the clock: what was transferred; what is next.
    void sample();
    void drive();
    // What the card sees is not what it was when this was last asked.
    bool changed();
    // Nothing is under way.
    bool idle() const { return at_ == beats_.size() && arriving_.empty() && !held_; }

    uint64_t overdrawn = 0;  // TLPs that the card had no credits for
    uint64_t malformed = 0;  // ended with error, or no whole doublewords

private:
    struct Beat {
        uint64_t data;
        uint8_t control;  // empty, last, error
    };
    struct Account {
        uint32_t headers = 0, data = 0;
    };
    Account granted(Class kind, uint64_t credits) const;
    void show_limits();
    void arrived();

    Pins& pins_;
    Random& random_;
    double stall_;
    uint64_t held_ = 0;
    std::deque<Beat> beats_;
    size_t at_ = 0;
    bool blocked_ = false;
    struct Seen {
        uint64_t limit;
        std::array<uint32_t, 3> payload;
        uint32_t flags;
    } seen_{};
    Bytes arriving_;
    std::array<Account, kClasses> sent_, taken_, released_;
};

}  // namespace niter
