#include "function.hpp"

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "log.hpp"

namespace niter {

namespace {

constexpr unsigned kVendor = 0x00, kCommand = 0x04, kHeaderBars = 0x10, kCapabilities = 0x34;
constexpr unsigned kEndOfBars = kHeaderBars + 4 * Function::kBars;
constexpr unsigned kExpressId = 0x10, kMsixId = 0x11, kDeviceControl = 8, kMostCapabilities = 48;
constexpr uint64_t kMemorySpace = 1 << 1, kBusMaster = 1 << 2, kReset = 1 << 15;
// Where functions' BARs are on our bus: high enough for headers with four doublewords.
constexpr uint64_t kBarBase = uint64_t(0x40) << 32;
constexpr uint64_t kFunctionStride = uint64_t(1) << 32, kBarStride = uint64_t(1) << 28;

// Pieces of an access that do not cross a multiple of ``unit``.
template <typename Visit>
void pieces(uint64_t offset, unsigned length, unsigned unit, Visit visit) {
    for (unsigned done = 0; done < length;) {
        const unsigned piece = std::min(length - done, unit - unsigned((offset + done) % unit));
        visit(offset + done, done, piece);
        done += piece;
    }
}

uint64_t little(const Bytes& data, unsigned at, unsigned length) {
    uint64_t value = 0;
    for (unsigned n = 0; n < length; ++n) value |= uint64_t(data[at + n]) << 8 * n;
    return value;
}

}  // namespace

Function::Function(Root& root, unsigned number) : root_(root), number_(number) {
    root_.endpoints[number].interrupt = [this](uint32_t vector) { interrupt(vector); };
}

void Function::ask(Operation::Kind kind, uint64_t address, unsigned length, uint64_t data,
                   std::function<void(bool, uint64_t)> done) {
    root_.submit(number_, {kind, address, length, data, std::move(done)});
}

void Function::enumerate(std::function<void(bool)> done) {
    ask(Operation::kConfigRead, kVendor, 4, 0, [this, done](bool good, uint64_t id) {
        if (!good || (id & 0xFFFF) == 0xFFFF) return done(false);
        size_bar(0, [this, done] {
            ask(Operation::kConfigRead, kCapabilities, 1, 0, [this, done](bool, uint64_t first) {
                walk(unsigned(first), kMostCapabilities, [this, done] {
                    place_bars();
                    follow(kCommand);
                    if (express_) follow(express_ + kDeviceControl);
                    ask(Operation::kConfigRead, kVendor, 4, 0, [done](bool, uint64_t) { done(true); });
                });
            });
        });
    });
}

void Function::size_bar(unsigned bar, std::function<void()> done) {
    if (bar >= kBars) return done();
    const unsigned at = kHeaderBars + 4 * bar;
    ask(Operation::kConfigWrite, at, 4, 0xFFFFFFFF);
    ask(Operation::kConfigRead, at, 4, 0, [this, bar, done](bool good, uint64_t mask) {
        Bar& own = bars_[bar];
        if (!good || !mask || mask & 1) return size_bar(bar + 1, done);
        own.flags = mask & 0xF;
        own.wide = (mask & 6) == 4 && bar + 1 < kBars;
        own.size = (~(mask & ~uint64_t(0xF)) + 1) & 0xFFFFFFFF;
        own.address = kBarBase + number_ * kFunctionStride + bar * kBarStride;
        own.shown[0] = own.flags;
        if (own.wide) bars_[bar + 1].upper = true;
        size_bar(bar + (own.wide ? 2 : 1), done);
    });
}

void Function::walk(unsigned capability, unsigned left, std::function<void()> done) {
    capability &= 0xFC;
    if (!capability || !left) return done();
    ask(Operation::kConfigRead, capability, 4, 0, [=](bool, uint64_t head) {
        const unsigned id = head & 0xFF, next = head >> 8 & 0xFF;
        if (id == kExpressId) express_ = capability;
        if (id != kMsixId) return walk(next, left - 1, done);
        msix_ = capability;
        vectors_.resize((head >> 16 & 0x7FF) + 1);
        ask(Operation::kConfigRead, capability + 4, 4, 0, [=](bool, uint64_t where) {
            table_bar_ = where & 7;
            table_ = where & ~uint64_t(7);
            walk(next, left - 1, done);
        });
    });
}

void Function::place_bars() {
    for (unsigned bar = 0; bar < kBars; ++bar) {
        if (!bars_[bar].size) continue;
        ask(Operation::kConfigWrite, kHeaderBars + 4 * bar, 4, bars_[bar].address & 0xFFFFFFFF);
        if (bars_[bar].wide)
            ask(Operation::kConfigWrite, kHeaderBars + 4 * bar + 4, 4, bars_[bar].address >> 32);
    }
}

void Function::place_vectors() {
    for (unsigned vector = 0; vector < vectors_.size(); ++vector) place_vector(vector);
}

void Function::place_vector(unsigned vector) {
    if (!memory_ || vector >= vectors_.size() || table_bar_ >= kBars) return;
    const uint64_t entry = bars_[table_bar_].address + table_ + 16 * vector;
    const bool masked = vectors_[vector].event < 0 || vectors_[vector].masked;
    ask(Operation::kWrite, entry, 8, Root::kInterrupts + number_ * 0x1000);
    ask(Operation::kWrite, entry + 8, 8, vector | uint64_t(masked) << 32);
}

void Function::follow(unsigned offset) {
    ask(Operation::kConfigRead, offset, 2, 0, [this, offset](bool good, uint64_t value) {
        if (!good) return;
        Endpoint& endpoint = root_.endpoints[number_];
        if (offset == kCommand) {
            const bool before = memory_;
            memory_ = value & kMemorySpace;
            endpoint.master = value & kBusMaster;
            if (memory_ && !before) place_vectors();
        } else {
            endpoint.max_payload = 128u << (value >> 5 & 7);
            endpoint.max_read = 128u << (value >> 12 & 7);
        }
    });
}

void Function::config_read(unsigned offset, unsigned length, Done done) {
    auto data = std::make_shared<Bytes>(length, 0xFF);
    pieces(offset, length, 4, [&](uint64_t at, unsigned index, unsigned size) {
        const bool last = index + size == length;
        const auto arrived = [=](bool good, uint64_t value) {
            for (unsigned n = 0; good && n < size; ++n) (*data)[index + n] = uint8_t(value >> 8 * n);
            if (!last) return;
            show_bar(offset, *data);
            done(*data);
        };
        ask(Operation::kConfigRead, at, size, 0, arrived);
    });
}

void Function::config_write(unsigned offset, Bytes data, Done done) {
    const unsigned length = unsigned(data.size());
    const auto touches = [=](unsigned at) { return offset < at + 2 && offset + length > at; };
    store_bar(offset, data);
    bool resets = false;
    if (express_ && touches(express_ + kDeviceControl) && offset + length > express_ + kDeviceControl + 1)
        resets = data[express_ + kDeviceControl + 1 - offset] & kReset >> 8;
    // Whoever switches memory on may have reset the function before.
    if (touches(kCommand)) place_bars();
    pieces(offset, length, 4, [&](uint64_t at, unsigned index, unsigned size) {
        if (at >= kHeaderBars && at < kEndOfBars) return;
        ask(Operation::kConfigWrite, at, size, little(data, index, size));
    });
    if (resets) {
        memory_ = false;
        root_.endpoints[number_].master = false;
    }
    if (touches(kCommand) || resets) follow(kCommand);
    if (express_ && touches(express_ + kDeviceControl)) follow(express_ + kDeviceControl);
    // The answer does not wait for a reset's end.
    if (resets) return done({});
    ask(Operation::kConfigRead, kVendor, 4, 0, [done](bool, uint64_t) { done({}); });
}

void Function::show_bar(unsigned offset, Bytes& data) const {
    for (unsigned n = 0; n < data.size(); ++n) {
        const unsigned at = offset + n;
        if (at < kHeaderBars || at >= kEndOfBars) continue;
        const unsigned bar = (at - kHeaderBars) / 4;
        const bool upper = bars_[bar].upper;
        data[n] = bars_[upper ? bar - 1 : bar].shown[at % 4 + (upper ? 4 : 0)];
    }
}

void Function::store_bar(unsigned offset, const Bytes& data) {
    for (unsigned n = 0; n < data.size(); ++n) {
        const unsigned at = offset + n;
        if (at < kHeaderBars || at >= kEndOfBars) continue;
        const unsigned index = (at - kHeaderBars) / 4;
        const bool upper = bars_[index].upper;
        Bar& bar = bars_[upper ? index - 1 : index];
        if (!bar.size) continue;
        const unsigned byte = at % 4 + (upper ? 4 : 0);
        const uint64_t mask = ~(bar.size - 1);
        bar.shown[byte] = uint8_t((data[n] & mask >> 8 * byte) | (byte ? 0 : bar.flags));
    }
}

void Function::bar_read(unsigned bar, uint64_t offset, unsigned length, Done done) {
    auto data = std::make_shared<Bytes>(length, 0xFF);
    pieces(bars_[bar].address + offset, length, 8, [&](uint64_t at, unsigned index, unsigned size) {
        const bool last = index + size == length;
        ask(Operation::kRead, at, size, 0, [=](bool good, uint64_t value) {
            for (unsigned n = 0; good && n < size; ++n) (*data)[index + n] = uint8_t(value >> 8 * n);
            if (last) done(*data);
        });
    });
}

void Function::bar_write(unsigned bar, uint64_t offset, Bytes data, Done done) {
    const unsigned length = unsigned(data.size());
    pieces(bars_[bar].address + offset, length, 8, [&](uint64_t at, unsigned index, unsigned size) {
        const bool last = index + size == length;
        ask(Operation::kWrite, at, size, little(data, index, size), [=](bool, uint64_t) {
            if (last) done({});
        });
    });
}

void Function::set_event(unsigned vector, int fd) {
    Vector& own = vectors_[vector];
    if (own.event >= 0) close(own.event);
    own.event = fd;
    place_vector(vector);
    if (fd < 0 || !own.waiting) return;
    own.waiting = false;
    interrupt(vector);
}

void Function::set_mask(unsigned vector, bool masked) {
    vectors_[vector].masked = masked;
    place_vector(vector);
}

void Function::interrupt(uint32_t vector) {
    const uint64_t one = 1;
    if (vector >= vectors_.size()) return;
    Vector& own = vectors_[vector];
    if (own.event >= 0 && ::write(own.event, &one, sizeof one) == sizeof one) return;
    // A host takes its events away for a moment when it gives others; the vector's mask is then
    // still on its way to the card, and an interrupt may be on its way back.
    own.waiting = true;
    ++kept_interrupts;
}

void Function::reset(std::function<void()> done) {
    memory_ = false;
    root_.endpoints[number_].master = false;
    if (express_) ask(Operation::kConfigWrite, express_ + kDeviceControl, 2, kReset);
    place_bars();
    for (Bar& bar : bars_) bar.shown = {bar.flags};
    follow(kCommand);
    if (express_) follow(express_ + kDeviceControl);
    ask(Operation::kConfigRead, kVendor, 4, 0, [done](bool, uint64_t) { done(); });
}

void Function::forget() {
    for (Vector& vector : vectors_) {
        if (vector.event >= 0) close(vector.event);
        vector = {};
    }
    root_.endpoints[number_].memory.clear();
    reset([] {});
}

}  // namespace niter
