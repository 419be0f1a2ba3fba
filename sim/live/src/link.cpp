#include "link.hpp"

#include <algorithm>

namespace niter {

namespace {

constexpr uint8_t kLast = 1 << 3, kError = 1 << 4;
// What the root complex grants: headers, and data in units of 16 bytes. Zero is without end.
constexpr uint32_t kHeaders[kClasses] = {32, 16, 0}, kData[kClasses] = {128, 0, 0};
constexpr unsigned kHeaderBits = 8, kDataBits = 12;

uint32_t units(size_t payload) { return uint32_t((payload + 15) / 16); }

// A running counter has reached or passed another.
bool within(uint32_t limit, uint32_t used, unsigned bits) {
    return ((limit - used) & ((1u << bits) - 1)) < 1u << (bits - 1);
}

}  // namespace

Link::Account Link::granted(Class kind, uint64_t credits) const {
    const uint64_t own = credits >> (kHeaderBits + kDataBits) * kind;
    return {uint32_t(own & ((1 << kHeaderBits) - 1)),
            uint32_t(own >> kHeaderBits & ((1 << kDataBits) - 1))};
}

bool Link::may_send(Class kind, size_t payload) const {
    if (at_ != beats_.size()) return false;
    if (kind == kCompletions) return true;  // an endpoint grants them without end
    const Account limit = granted(kind, *pins_.allocated);
    const Account& used = sent_[kind];
    return within(limit.headers, used.headers + 1, kHeaderBits) &&
           within(limit.data, used.data + units(payload), kDataBits);
}

void Link::send(Class kind, const Bytes& tlp, size_t payload) {
    sent_[kind].headers += 1;
    sent_[kind].data += units(payload);
    beats_.clear();
    at_ = 0;
    for (size_t from = 0; from < tlp.size(); from += 8) {
        Beat beat{0, 0};
        const size_t bytes = std::min<size_t>(8, tlp.size() - from);
        for (size_t n = 0; n < bytes; ++n) beat.data |= uint64_t(tlp[from + n]) << 8 * n;
        if (from + 8 >= tlp.size()) beat.control = uint8_t(kLast | (8 - bytes));
        beats_.push_back(beat);
    }
}

void Link::release(Class kind, size_t payload) {
    released_[kind].headers += 1;
    released_[kind].data += units(payload);
    show_limits();
}

void Link::show_limits() {
    uint64_t limit = 0;
    uint8_t infinite = 0;
    for (unsigned kind = 0, at = 0; kind < kClasses; ++kind, at += kHeaderBits + kDataBits) {
        const uint32_t headers = kHeaders[kind] + released_[kind].headers;
        const uint32_t data = kData[kind] + released_[kind].data;
        if (kHeaders[kind]) limit |= uint64_t(headers & ((1 << kHeaderBits) - 1)) << at;
        if (kData[kind]) limit |= uint64_t(data & ((1 << kDataBits) - 1)) << (at + kHeaderBits);
        infinite = uint8_t(infinite | !kHeaders[kind] << 2 * kind | !kData[kind] << (2 * kind + 1));
    }
    *pins_.limit = limit;
    *pins_.infinite = infinite;
}

void Link::connect() {
    show_limits();
    *pins_.up = 1;
}

void Link::sample() {
    if (*pins_.rx_valid && *pins_.rx_ready) ++at_;
    blocked_ = *pins_.rx_valid && !*pins_.rx_ready;
    if (!*pins_.tx_valid || !*pins_.tx_ready) return;
    const WData* beat = pins_.tx_payload;
    const uint8_t control = uint8_t(beat[2]);
    const unsigned bytes = control & kLast ? 8 - (control & 7) : 8;
    for (unsigned n = 0; n < bytes; ++n) arriving_.push_back(uint8_t(beat[n / 4] >> 8 * (n % 4)));
    if (!(control & kLast)) return;
    if (control & kError || arriving_.size() % 4 || arriving_.size() < 12)
        ++malformed;
    else
        arrived();
    arriving_.clear();
}

void Link::arrived() {
    const uint8_t type = arriving_[0];
    const bool completion = (type & 0x1F) == 0x0A;
    const bool posted = (type & 0x38) == kMessage || (type & 0xDF) == kMemoryWrite;
    const Class kind = completion ? kCompletions : posted ? kPosted : kNonposted;
    const size_t payload =
        type & 0x40 ? arriving_.size() - (type & 0x20 ? 16 : 12) : 0;
    taken_[kind].headers += 1;
    taken_[kind].data += units(payload);
    const Account limit{kHeaders[kind] + released_[kind].headers, kData[kind] + released_[kind].data};
    if ((kHeaders[kind] && !within(limit.headers, taken_[kind].headers, kHeaderBits)) ||
        (kData[kind] && !within(limit.data, taken_[kind].data, kDataBits)))
        ++overdrawn;
    deliver(arriving_);
    release(kind, payload);
}

void Link::drive() {
    // A beat that is offered stays until it is taken.
    const bool held = held_ != 0;
    held_ -= held;
    const bool next = at_ < beats_.size() && (blocked_ || (!held && !random_.chance(stall_)));
    if (next) {
        const Beat& beat = beats_[at_];
        pins_.rx_payload[0] = WData(beat.data);
        pins_.rx_payload[1] = WData(beat.data >> 32);
        pins_.rx_payload[2] = beat.control;
    }
    *pins_.rx_valid = next;
    *pins_.tx_ready = !held && !random_.chance(stall_);
}

bool Link::changed() {
    Seen now{*pins_.limit, {}, 0};
    std::copy_n(pins_.rx_payload, now.payload.size(), now.payload.begin());
    now.flags = uint32_t(*pins_.up | *pins_.infinite << 8 | *pins_.rx_valid << 16 | *pins_.tx_ready << 24);
    const bool same = now.limit == seen_.limit && now.payload == seen_.payload && now.flags == seen_.flags;
    seen_ = now;
    return !same;
}

}  // namespace niter
