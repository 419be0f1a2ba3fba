// Two models of one component, with clocks for its parts and without, given the same: random inputs
// that change at random, and every output compared in every cycle. Of the first the triggers are
// set, and no clock is a pin. usage: lockstep CYCLES SEED
#include <Gated.h>
#include <Gated___024root.h>
#include <Plain.h>

#include "ports.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <type_traits>

void Gated___024root___eval_nba(Gated___024root*);

namespace {

std::mt19937_64 chance;
Plain plain;
Gated gated;
uint64_t cycle;
bool changed;

void raise(unsigned clock) {
    gated.rootp->__VnbaTriggered[clock / 64] |= uint64_t(1) << clock % 64;
}

void step() {
    Gated___024root___eval_nba(gated.rootp);
    for (auto& word : gated.rootp->__VnbaTriggered.m_storage) word = 0;
}

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
    gated.eval();
    for (; cycle < cycles; ++cycle) {
        // The plain one's inputs change after its clock; the other's with the clocks of its parts.
#define RISE(clock, active) \
    if (gated.active) ++moved, raise(clock); \
    else ++rested;
        PARTS(RISE)
        plain.clk = 1;
        plain.eval();
        changed = false;
#define DRIVE(pin, width) drive(plain.pin, gated.pin, width);
        INPUTS(DRIVE)
#define HOLD(clock) if (changed) raise(clock);
        GROUPS(HOLD)
        plain.clk = 0;
        plain.eval();
        step();
#define COMPARE(pin) compare(plain.pin, gated.pin, #pin);
        OUTPUTS(COMPARE)
    }
    std::printf("%llu %llu\n", (unsigned long long)moved, (unsigned long long)rested);
    return 0;
}
