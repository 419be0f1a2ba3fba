// The verilated card with its clocks: the core at 62.5 MHz, GMII at 125 MHz.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "link.hpp"
#include "pins.hpp"
#include "port.hpp"

class Card;
class VerilatedContext;

namespace niter {

class Machine {
public:
    static constexpr uint64_t kCoreNs = 16;

    Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    ~Machine();

    Pins& pins() { return pins_; }
    void attach(Link& link, std::vector<std::unique_ptr<Port>>& ports);
    void reset();
    // One cycle of the core, with the two of GMII in it.
    void cycle();

    // The control bus: one access, in as many cycles as it takes.
    void control_write(uint32_t address, uint32_t value);
    uint32_t control_read(uint32_t address);

    // Write waves of the cycles from ``first`` on; only a model built for it can.
    bool record(const std::string& path, uint64_t first, uint64_t count);

    // Called at the end of each cycle.
    std::function<void()> tick;
    uint64_t cycles = 0, time_ns = 0;
    // Core cycles in which a register of the card changed; all of a card without clocks for its parts.
    uint64_t moved = 0;

private:
    static constexpr unsigned kBetweenAccesses = 8;  // cycles
    class Waves;
    void evaluate(unsigned phase);
    // A cycle of a plain model, and of one whose parts have clocks of their own.
    void step_whole();
    void step_parts();
    // What came from outside, and has this clock, is seen.
    void take(unsigned clock);
    void raise(unsigned clock) { pins_.triggers[clock / 64] |= QData(1) << clock % 64; }
    // The ports' clocks; says whether one rises.
    bool rise(bool first_of_cycle);
    void fall();
    void pause();

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Card> card_;
    Pins pins_;
    Link* link_ = nullptr;
    std::vector<std::unique_ptr<Port>>* ports_ = nullptr;
    std::unique_ptr<Waves> waves_;
    CData flash_out_ = 0;
};

}  // namespace niter
