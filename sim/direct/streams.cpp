#include "streams.hpp"

#include <algorithm>
#include <cstring>

namespace niter {

namespace {

constexpr size_t lanes = 8;

unsigned bits(const Bytes& from, unsigned at, unsigned count) {
    unsigned value = 0;
    for (unsigned n = 0; n < count; ++n) {
        value |= (from[(at + n) / 8] >> ((at + n) % 8) & 1u) << n;
    }
    return value;
}

void set_bits(Bytes& to, unsigned at, unsigned count, uint64_t value) {
    for (unsigned n = 0; n < count; ++n) {
        uint8_t bit = uint8_t(1u << ((at + n) % 8));
        uint8_t& byte = to[(at + n) / 8];
        byte = value >> n & 1 ? uint8_t(byte | bit) : uint8_t(byte & ~bit);
    }
}

}  // namespace

void Stream::put(const uint8_t* data, size_t size, bool error, const uint8_t* base) {
    Bytes beat(base, base + width);
    if (!layout.packets) {
        waiting.push_back(beat);
        return;
    }
    for (size_t at = 0; at < size; at += lanes) {
        size_t part = std::min(lanes, size - at);
        bool last = at + part == size;
        uint64_t word = 0;
        std::memcpy(&word, data + at, part);
        set_bits(beat, layout.data, 64, word);
        set_bits(beat, layout.empty, 3, lanes - part);
        set_bits(beat, layout.last, 1, last);
        set_bits(beat, layout.error, 1, last && error);
        waiting.push_back(beat);
    }
}

void Stream::drive(std::mt19937& random) {
    bool go = stall == 0 || (random() & 0xFFFF) >= stall;
    if (!input) {
        *ready = go;
    } else if (!holding) {
        *valid = go && !waiting.empty();
        if (*valid) {
            std::memcpy(payload, waiting.front().data(), width);
        }
    }
}

bool Stream::sample(std::string& broken) {
    bool moved = *valid && *ready;
    if (input) {
        holding = *valid && !moved;
        if (moved) {
            waiting.pop_front();
        }
        return false;
    }
    if (holding && !(*valid && std::memcmp(held.data(), payload, width) == 0)) {
        broken = name + ": valid or payload changed before ready";
    }
    holding = *valid && !moved;
    if (*valid) {
        held.assign(payload, payload + width);
    }
    return moved && take(broken);
}

bool Stream::take(std::string& broken) {
    if (!layout.packets) {
        taken.push_back({held, false});
        return true;
    }
    unsigned empty = bits(held, layout.empty, 3);
    bool last = bits(held, layout.last, 1), error = bits(held, layout.error, 1);
    if (!last && (empty || error)) {
        broken = name + ": empty lanes or an error before the last beat";
    }
    for (unsigned n = 0; n < lanes - empty; ++n) {
        packet.data.push_back(uint8_t(bits(held, layout.data + 8 * n, 8)));
    }
    if (last) {
        packet.error = error;
        taken.push_back(std::move(packet));
        packet = {};
    }
    return last;
}

}  // namespace niter
