#include "gmii.hpp"

#include <zlib.h>

#include <algorithm>

namespace niter {

namespace {

constexpr uint8_t kPreamble = 0x55, kDelimiter = 0xD5;
constexpr size_t kPreambleOctets = 7, kShortest = 60, kFcs = 4;
constexpr unsigned kGap = 12;

uint32_t fcs(const uint8_t* data, size_t length) { return uint32_t(crc32(0, data, uInt(length))); }

}  // namespace

GmiiSource::Octet GmiiSource::next() {
    if (gap_) {
        --gap_;
        return {0, false};
    }
    if (at_ == sending_.size()) {
        if (frames_.empty()) {
            if (idle_ < kSettle) ++idle_;
            return {0, false};
        }
        Bytes frame = std::move(frames_.front());
        frames_.pop_front();
        frame.resize(std::max(frame.size(), kShortest));
        const uint32_t check = fcs(frame.data(), frame.size());
        sending_.assign(kPreambleOctets, kPreamble);
        sending_.push_back(kDelimiter);
        sending_.insert(sending_.end(), frame.begin(), frame.end());
        for (unsigned n = 0; n < kFcs; ++n) sending_.push_back(uint8_t(check >> 8 * n));
        at_ = 0;
        idle_ = 0;
    }
    const uint8_t octet = sending_[at_++];
    if (at_ == sending_.size()) gap_ = kGap;
    return {octet, true};
}

void GmiiSink::take(uint8_t data, bool enable, bool error) {
    if (enable) {
        frame_.push_back(data);
        error_ |= error;
        idle_ = 0;
    } else if (!frame_.empty()) {
        finish();
    } else if (idle_ < kSettle) {
        ++idle_;
    }
}

void GmiiSink::finish() {
    const auto start = std::find(frame_.begin(), frame_.end(), kDelimiter);
    const size_t head = size_t(start - frame_.begin());
    const bool framed = head == kPreambleOctets && frame_.size() >= head + 1 + kShortest + kFcs &&
                        std::all_of(frame_.begin(), start, [](uint8_t o) { return o == kPreamble; });
    bool good = framed && !error_;
    if (good) {
        const uint8_t* body = frame_.data() + head + 1;
        const size_t length = frame_.size() - head - 1 - kFcs;
        uint32_t sent = 0;
        for (unsigned n = 0; n < kFcs; ++n) sent |= uint32_t(body[length + n]) << 8 * n;
        good = sent == fcs(body, length);
        if (good) deliver_(Bytes(body, body + length));
    }
    bad += !good;
    frame_.clear();
    error_ = false;
}

}  // namespace niter
