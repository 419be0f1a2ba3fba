// Transaction layer packets as bytes in the order of the link (PCI Express Base 4.0, 2.2).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace niter {

using Bytes = std::vector<uint8_t>;

// Format and type, the first byte of a header.
enum Type : uint8_t {
    kMemoryRead = 0x00,
    kMemoryRead64 = 0x20,
    kMemoryWrite = 0x40,
    kMemoryWrite64 = 0x60,
    kConfigRead = 0x04,
    kConfigWrite = 0x44,
    kCompletion = 0x0A,
    kCompletionData = 0x4A,
    kMessage = 0x30,  // the three low bits say how it is routed
};

enum Status : uint8_t { kSuccess = 0, kUnsupported = 1, kRetry = 2, kAbort = 4 };

// A parsed TLP. What a type does not have is zero.
struct Tlp {
    uint8_t type = 0;
    uint8_t attributes = 0;   // relaxed ordering is 2, no snoop 1
    uint16_t length = 0;      // doublewords, of payload or asked for
    uint16_t requester = 0;
    uint8_t tag = 0;
    uint8_t first_be = 0, last_be = 0;
    uint64_t address = 0;     // of the first doubleword; of a configuration request: ID, register
    uint16_t completer = 0;
    uint8_t status = 0;
    uint16_t byte_count = 0;
    uint8_t lower_address = 0;
    uint8_t code = 0;         // of a message
    Bytes data;

    bool has_data() const { return type & 0x40; }
    bool is_read() const { return type == kMemoryRead || type == kMemoryRead64; }
    bool is_write() const { return type == kMemoryWrite || type == kMemoryWrite64; }
    bool is_completion() const { return type == kCompletion || type == kCompletionData; }
    bool is_message() const { return (type & 0xB8) == kMessage; }
    bool is_posted() const { return is_write() || is_message(); }
};

Bytes pack(const Tlp& tlp);

// Nothing when the bytes are no TLP, or one of a kind that an endpoint has no business to send;
// reserved fields that are not zero count as such.
std::optional<Tlp> parse(const Bytes& bytes);

// The bytes of a request that its byte enables name: offset of the first one in the
// first doubleword, and how many up to the last.
struct Span {
    unsigned offset, length;
};
Span enabled_span(const Tlp& tlp);

// The doublewords and byte enables that reach ``length`` bytes at ``address``.
void set_span(Tlp& tlp, uint64_t address, unsigned length);

}  // namespace niter
