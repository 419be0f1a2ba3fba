#include "pcapng.hpp"

#include "log.hpp"

namespace niter {

namespace {

void put(Bytes& out, uint64_t value, unsigned bytes) {
    for (unsigned n = 0; n < bytes; ++n) out.push_back(uint8_t(value >> 8 * n));
}

void pad(Bytes& out) {
    while (out.size() % 4) out.push_back(0);
}

void option(Bytes& out, uint16_t code, const Bytes& value) {
    put(out, code, 2);
    put(out, value.size(), 2);
    out.insert(out.end(), value.begin(), value.end());
    pad(out);
}

}  // namespace

Capture::Capture(const std::string& path, const std::string& interface)
    : file_(std::fopen(path.c_str(), "wb")) {
    if (!file_) fail("cannot write %s: %s", path.c_str(), error_text().c_str());
    Bytes section;
    put(section, 0x1A2B3C4D, 4);
    put(section, 1, 2);
    put(section, 0, 2);
    put(section, ~uint64_t(0), 8);
    block(0x0A0D0D0A, section);
    Bytes description;
    put(description, 1, 2);  // Ethernet
    put(description, 0, 2);
    put(description, 0, 4);
    option(description, 2, Bytes(interface.begin(), interface.end()));
    option(description, 9, {9});  // nanoseconds
    option(description, 0, {});
    block(1, description);
}

void Capture::write(const Bytes& frame, uint64_t time_ns, bool outbound) {
    Bytes body;
    put(body, 0, 4);
    put(body, time_ns >> 32, 4);
    put(body, time_ns & 0xFFFFFFFF, 4);
    put(body, frame.size(), 4);
    put(body, frame.size(), 4);
    body.insert(body.end(), frame.begin(), frame.end());
    pad(body);
    option(body, 2, {uint8_t(outbound ? 2 : 1), 0, 0, 0});
    option(body, 0, {});
    block(6, body);
}

void Capture::block(uint32_t type, const Bytes& body) {
    Bytes out;
    const uint64_t size = body.size() + 12;
    put(out, type, 4);
    put(out, size, 4);
    out.insert(out.end(), body.begin(), body.end());
    put(out, size, 4);
    std::fwrite(out.data(), 1, out.size(), file_);
}

}  // namespace niter
