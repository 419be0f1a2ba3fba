// The card's SPI flash and its serial console, for a card with a processor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pins.hpp"

namespace niter {

// A part like Winbond's W25Q128JV (data sheet of 2018, section 8): single-bit SPI in mode 0; a command
// that is cut off in the middle of a byte, comes without write enable or while the part is busy does
// nothing. What it holds is a file, which changes with it.
class Flash {
public:
    // The file has the part's size.
    Flash(const ProcessorPins& pins, const std::string& path);
    Flash(const Flash&) = delete;
    Flash& operator=(const Flash&) = delete;
    ~Flash();

    // Look at the pins, once in a cycle.
    void cycle(uint64_t now);

private:
    void received(uint64_t now);
    void deselected(uint64_t now);
    uint8_t answer(uint64_t now) const;

    ProcessorPins pins_;
    uint8_t* memory_;
    uint32_t size_;
    bool selected_ = false, clock_ = false, enabled_ = false;
    uint64_t ready_at_ = 0;
    unsigned bits_ = 0;               // taken of the byte under way
    uint8_t byte_ = 0, out_ = 0;
    std::vector<uint8_t> command_;    // whole bytes
    uint32_t address_ = 0, sent_ = 0;  // of a read; bytes answered
};

// Says what the card's software says, a line for each letter.
class Console {
public:
    // Of 8N1, a bit of so many cycles.
    Console(const ProcessorPins& pins, unsigned bit) : pins_(pins), bit_(bit) {}
    void cycle();

private:
    ProcessorPins pins_;
    unsigned bit_, at_ = 0;
    uint8_t byte_ = 0;
};

}  // namespace niter
