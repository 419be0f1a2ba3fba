// A guest's memory as its client has mapped it for DMA.
#pragma once

#include <cstdint>
#include <map>

#include "tlp.hpp"

namespace niter {

class Memory {
public:
    Memory() = default;
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    ~Memory() { clear(); }

    // Adds a range. Without a file (fd -1) it is known and never touched. Returns an errno;
    // the descriptor stays the caller's.
    int map(uint64_t address, uint64_t size, int fd, uint64_t offset, bool read, bool write);
    // Takes a range away that was added as a whole. Returns an errno.
    int unmap(uint64_t address, uint64_t size);
    void clear();

    // False where any byte is not there, or not granted; then nothing was moved.
    bool read(uint64_t address, uint8_t* to, unsigned length) const;
    bool write(uint64_t address, const Tlp& tlp);

private:
    struct Region {
        uint64_t size;
        uint8_t* base;  // null: without memory
        bool readable, writable;
    };
    uint8_t* find(uint64_t address, unsigned length, bool write) const;

    std::map<uint64_t, Region> regions_;
};

}  // namespace niter
