// Two threads: one writes to a guest's memory as a card does, and one looks on as a guest does.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "memory.hpp"

using niter::Memory;
using niter::Tlp;

namespace {

constexpr uint64_t kBase = 0x100000000;
constexpr unsigned kSize = 4096, kWrites = 3000000;

Tlp request(unsigned length, unsigned first_be, unsigned last_be) {
    Tlp tlp;
    tlp.type = niter::kMemoryWrite64;
    tlp.length = uint16_t(length);
    tlp.first_be = uint8_t(first_be);
    tlp.last_be = uint8_t(last_be);
    tlp.address = kBase;
    tlp.data.resize(4 * length);
    return tlp;
}

// Writes all bytes of one value and then of another; neither thread may see a third.
template <typename Word>
bool whole(Memory& memory, volatile Word* seen, Tlp tlp, unsigned at) {
    *seen = 0;
    std::atomic<bool> done{false};
    std::thread writer([&] {
        for (unsigned n = 0; n < kWrites; ++n) {
            const Word value = n & 1 ? Word(-1) : 0;
            std::memcpy(tlp.data.data() + at, &value, sizeof value);
            memory.write(tlp.address, tlp);
        }
        done = true;
    });
    bool good = true;
    while (!done) {
        const Word value = *seen;
        good = good && (!value || value == Word(-1));
    }
    writer.join();
    return good;
}

// Each pattern of enables of one and two doublewords, and a longer write.
bool bytes(Memory& memory, const uint8_t* seen) {
    for (unsigned length = 1; length <= 5; ++length) {
        for (unsigned be = 0; be < 256; ++be) {
            const unsigned first = be & 15, last = length > 1 ? be >> 4 : 0;
            if (length == 1 && be > 15) continue;
            // Longer ones have no holes (2.2.5).
            const bool holes = (first | first >> 1 | 8) != first || !last || last & (last + 1);
            if (length > 2 && holes) continue;
            Tlp clear = request(8, 15, 15), tlp = request(length, first, last);
            memory.write(clear.address, clear);
            for (unsigned n = 0; n < 4 * length; ++n) tlp.data[n] = uint8_t(n + 1);
            memory.write(tlp.address, tlp);
            for (unsigned n = 0; n < 32; ++n) {
                const unsigned word = n / 4;
                const unsigned enables = !word                ? first
                                         : word + 1 < length  ? 15
                                         : word + 1 == length ? last
                                                              : 0;
                if (seen[n] != (enables >> (n & 3) & 1 ? n + 1 : 0)) {
                    std::printf("length %u, enables %02x: byte %u is %u\n", length, be, n, seen[n]);
                    return false;
                }
            }
        }
    }
    return true;
}

}  // namespace

int main() {
    const int fd = memfd_create("guest", 0);
    if (fd < 0 || ftruncate(fd, kSize)) return 2;
    void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    Memory memory;
    if (at == MAP_FAILED || memory.map(kBase, kSize, fd, 0, true, true)) return 2;
    auto* seen = static_cast<uint8_t*>(at);
    if (!bytes(memory, seen)) return 1;
    const bool good =
        whole(memory, reinterpret_cast<volatile uint16_t*>(seen + 2), request(1, 0xC, 0), 2) &&
        whole(memory, reinterpret_cast<volatile uint32_t*>(seen), request(1, 0xF, 0), 0) &&
        whole(memory, reinterpret_cast<volatile uint64_t*>(seen), request(2, 0xF, 0xF), 0) &&
        whole(memory, reinterpret_cast<volatile uint64_t*>(seen + 8), request(4, 0xF, 0xF), 8);
    if (!good) std::puts("half of a word was seen");
    return !good;
}
