// A capture of one port: pcapng with simulated time in nanoseconds.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "tlp.hpp"

namespace niter {

class Capture {
public:
    explicit Capture(const std::string& path, const std::string& interface);
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    ~Capture() { std::fclose(file_); }

    // A frame without FCS; ``outbound`` when the card has sent it.
    void write(const Bytes& frame, uint64_t time_ns, bool outbound);
    void flush() { std::fflush(file_); }

private:
    void block(uint32_t type, const Bytes& body);

    std::FILE* file_;
};

}  // namespace niter
