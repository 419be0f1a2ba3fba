#include "tlp.hpp"

namespace niter {

namespace {

void put16(Bytes& out, uint32_t value) {
    out.push_back(uint8_t(value >> 8));
    out.push_back(uint8_t(value));
}

void put32(Bytes& out, uint64_t value) {
    put16(out, uint32_t(value >> 16) & 0xFFFF);
    put16(out, uint32_t(value) & 0xFFFF);
}

uint32_t get16(const Bytes& in, size_t at) { return uint32_t(in[at]) << 8 | in[at + 1]; }

uint32_t get32(const Bytes& in, size_t at) { return get16(in, at) << 16 | get16(in, at + 2); }

bool known(uint8_t type) {
    switch (type) {
        case kMemoryRead:
        case kMemoryRead64:
        case kMemoryWrite:
        case kMemoryWrite64:
        case kCompletion:
        case kCompletionData:
        case kMessage:      // to the root complex
        case kMessage | 5:  // gathered: PME_TO_Ack
            return true;
        default:
            return false;
    }
}

}  // namespace

Bytes pack(const Tlp& tlp) {
    Bytes out;
    out.reserve(16 + tlp.data.size());
    out.push_back(tlp.type);
    out.push_back(0);
    put16(out, uint32_t(tlp.attributes) << 12 | (tlp.length & 0x3FF));
    if (tlp.is_completion()) {
        put16(out, tlp.completer);
        put16(out, uint32_t(tlp.status) << 13 | (tlp.byte_count & 0xFFF));
        put16(out, tlp.requester);
        out.push_back(tlp.tag);
        out.push_back(tlp.lower_address);
    } else {
        put16(out, tlp.requester);
        out.push_back(tlp.tag);
        out.push_back(uint8_t(tlp.last_be << 4 | tlp.first_be));
        if (tlp.type & 0x20) put32(out, tlp.address >> 32);
        put32(out, tlp.address & 0xFFFFFFFF);
    }
    out.insert(out.end(), tlp.data.begin(), tlp.data.end());
    return out;
}

std::optional<Tlp> parse(const Bytes& in) {
    if (in.size() < 12 || !known(in[0])) return std::nullopt;
    Tlp tlp;
    tlp.type = in[0];
    const uint32_t word = get16(in, 2);
    // Traffic class 0, no digest, no poison, no address translation, no hints.
    if (in[1] || word & 0xCC00) return std::nullopt;
    tlp.attributes = uint8_t(word >> 12 & 3);
    tlp.length = uint16_t(word & 0x3FF);
    const bool four = tlp.type & 0x20;
    const size_t header = four ? 16 : 12;
    if (tlp.is_message()) {
        if (in.size() != 16 || tlp.length) return std::nullopt;
        tlp.requester = uint16_t(get16(in, 4));
        tlp.code = in[7];
        return tlp;
    }
    if (!tlp.length && tlp.type != kCompletion) tlp.length = 1024;
    const size_t payload = tlp.has_data() ? 4u * tlp.length : 0;
    if (in.size() != header + payload) return std::nullopt;
    if (tlp.is_completion()) {
        tlp.completer = uint16_t(get16(in, 4));
        tlp.status = in[6] >> 5;
        tlp.byte_count = uint16_t(get16(in, 6) & 0xFFF);
        if (!tlp.byte_count) tlp.byte_count = 4096;
        tlp.requester = uint16_t(get16(in, 8));
        tlp.tag = in[10];
        tlp.lower_address = in[11];
        if (in[11] & 0x80 || in[6] & 0x10) return std::nullopt;
    } else {
        tlp.requester = uint16_t(get16(in, 4));
        tlp.tag = in[6];
        tlp.first_be = in[7] & 15;
        tlp.last_be = in[7] >> 4;
        tlp.address = four ? uint64_t(get32(in, 8)) << 32 | get32(in, 12) : get32(in, 8);
        if (tlp.address & 3) return std::nullopt;
    }
    tlp.data.assign(in.begin() + long(header), in.end());
    return tlp;
}

Span enabled_span(const Tlp& tlp) {
    unsigned first = 0;
    while (first < 4 && !(tlp.first_be >> first & 1)) ++first;
    const unsigned be = tlp.length > 1 ? tlp.last_be : tlp.first_be;
    unsigned last = 4;
    while (last && !(be >> (last - 1) & 1)) --last;
    const unsigned end = 4 * (tlp.length - 1u) + last;
    return end > first ? Span{first, end - first} : Span{first & 3, 0};
}

void set_span(Tlp& tlp, uint64_t address, unsigned length) {
    const unsigned offset = address & 3;
    tlp.address = address - offset;
    tlp.length = uint16_t((offset + length + 3) / 4);
    const unsigned tail = (offset + length - 1) % 4 + 1;
    const uint8_t head_be = uint8_t(0xF << offset & 0xF), tail_be = uint8_t((1 << tail) - 1);
    tlp.first_be = tlp.length > 1 ? head_be : head_be & tail_be;
    tlp.last_be = tlp.length > 1 ? tail_be : 0;
}

}  // namespace niter
