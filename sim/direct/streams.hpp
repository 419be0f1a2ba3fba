// Streams at the pins of a verilated model: queues of payloads and packets, with random stalls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

namespace niter {

using Bytes = std::vector<uint8_t>;

// Where the fields of a beat stand in a payload, in bits; a stream of words has none.
struct Layout {
    bool packets = false;
    unsigned data = 0, empty = 0, last = 0, error = 0;
};

struct Item {
    Bytes data;
    bool error = false;
};

// What is no part of a stream.
struct Pin {
    uint8_t* at;
    size_t size;
};

// One stream port. A payload is as wide as Verilator's own type of the pin, the lowest byte first.
struct Stream {
    std::string name;
    bool input;
    uint8_t* payload;
    size_t width;
    uint8_t* valid;
    uint8_t* ready;
    Layout layout;
    // Of 65536 cycles, those in which nothing is offered, or taken.
    unsigned stall = 0;
    // What waits to be offered, or was taken.
    std::deque<Bytes> waiting;
    std::deque<Item> taken;
    // A packet that has begun; what was on offer in the last cycle and not taken.
    Item packet;
    Bytes held;
    bool holding = false;

    void put(const uint8_t* data, size_t size, bool error, const uint8_t* base);
    void drive(std::mt19937& random);
    // After the model has settled; true when an item is complete.
    bool sample(std::string& broken);

private:
    bool take(std::string& broken);
};

}  // namespace niter
