// What a storage card waits for by its own clock, though nothing passes its edge: block requests that
// are open, of which a frame may be lost, and completions whose interrupt waits for others.
#pragma once

#include <bitset>

#include "pins.hpp"

namespace niter {

class Waiting {
public:
    explicit Waiting(const StoragePins& pins) : pins_(pins) {}

    // The model tells: it is a storage card's, and not for waves.
    bool known() const { return pins_.begun.valid; }
    // To be called once in each cycle of the core. True if there is something; of interrupts that
    // is seen when the card looks at their queue, which it does in each 100 us.
    bool look();
    bool any() const { return open_.any(); }

private:
    static bool passes(const TagPins& pins) { return *pins.valid && *pins.ready; }

    const StoragePins& pins_;
    std::bitset<256> open_;  // by tag
};

}  // namespace niter
