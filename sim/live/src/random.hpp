// Chance from a seed.
#pragma once

#include <cstdint>
#include <random>

namespace niter {

class Random {
public:
    explicit Random(uint64_t seed) : engine_(seed) {}
    // From 0 to ``last``.
    unsigned upto(unsigned last) { return unsigned(engine_() % (uint64_t(last) + 1)); }
    bool chance(double probability) {
        return probability > 0 && double(engine_() >> 11) * 0x1p-53 < probability;
    }

private:
    std::mt19937_64 engine_;
};

}  // namespace niter
