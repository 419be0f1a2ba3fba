// Two models of one component, with clocks for its parts and without, given the same: random inputs
// that change at random, and every output compared in every cycle. usage: lockstep CYCLES SEED
#include <Gated.h>
#include <Plain.h>

#include "ports.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>

namespace {

std::mt19937_64 chance;
Plain plain;
Gated gated;
uint64_t cycle;
bool changed;

template <typename T>
void fill(T& value, unsigned width) {
    if constexpr (std::is_integral_v<T>) {
        value = T(chance() & (~uint64_t(0) >> (64 - width)));
    } else {
        for (unsigned word = 0; 32 * word < width; ++word) {
            const unsigned left = width - 32 * word;
            value[word] = uint32_t(chance()) & (left < 32 ? ~uint32_t(0) >> (32 - left) : ~uint32_t(0));
        }
    }
}

template <typename T>
void drive(T& one, T& other, unsigned width) {
    // Bursts, and rests in which parts may stand still.
    if (chance() % 4 || (cycle >> 6) % 4 == 0) return;
    fill(one, width);
    changed = changed || std::memcmp(&one, &other, sizeof one);
    std::memcpy(&other, &one, sizeof one);
}

template <typename T>
void compare(const T& one, const T& other, const char* name) {
    if (!std::memcmp(&one, &other, sizeof one)) return;
    std::printf("cycle %llu: %s differs\n", (unsigned long long)cycle, name);
    std::exit(1);
}

}  // namespace

int main(int, char** argv) {
    const uint64_t cycles = std::strtoull(argv[1], nullptr, 10);
    chance.seed(std::strtoull(argv[2], nullptr, 10));
    uint64_t moved = 0, rested = 0;
    for (; cycle < cycles; ++cycle) {
        changed = false;
#define DRIVE(pin, width) drive(plain.pin, gated.pin, width);
        INPUTS(DRIVE)
#define HOLD(clk) gated.clk = changed;
        GROUPS(HOLD)
        plain.eval();
        gated.eval();
#define COMPARE(pin) compare(plain.pin, gated.pin, #pin);
        OUTPUTS(COMPARE)
#define RELEASE(clk) gated.clk = 0;
        GROUPS(RELEASE)
#define RISE(clk, active) ++(gated.active ? moved : rested), gated.clk = gated.active;
        PARTS(RISE)
        plain.clk = gated.clk = 1;
        plain.eval();
        gated.eval();
        OUTPUTS(COMPARE)
#define FALL(clk, active) gated.clk = 0;
        PARTS(FALL)
        plain.clk = gated.clk = 0;
        plain.eval();
        gated.eval();
    }
    std::printf("%llu %llu\n", (unsigned long long)moved, (unsigned long long)rested);
    return 0;
}
