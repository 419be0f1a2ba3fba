#include "memory.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace niter {

int Memory::map(uint64_t address, uint64_t size, int fd, uint64_t offset, bool read, bool write) {
    if (!size || address + size - 1 < address) return EINVAL;
    auto next = regions_.lower_bound(address);
    if (next != regions_.end() && next->first - address < size) return EEXIST;
    if (next != regions_.begin()) {
        auto before = std::prev(next);
        if (address - before->first < before->second.size) return EEXIST;
    }
    uint8_t* base = nullptr;
    if (fd >= 0) {
        struct stat about;
        if (fstat(fd, &about)) return errno;
        // Beyond the end of its file a mapping exists, and whoever touches it dies.
        if (offset + size < offset || uint64_t(about.st_size) < offset + size) return EINVAL;
        const int protection = (read ? PROT_READ : 0) | (write ? PROT_WRITE : 0);
        void* made = mmap(nullptr, size, protection, MAP_SHARED, fd, off_t(offset));
        if (made == MAP_FAILED) return errno;
        base = static_cast<uint8_t*>(made);
    }
    regions_[address] = {size, base, read, write};
    return 0;
}

int Memory::unmap(uint64_t address, uint64_t size) {
    auto found = regions_.find(address);
    if (found == regions_.end() || found->second.size != size) return EINVAL;
    if (found->second.base) munmap(found->second.base, size);
    regions_.erase(found);
    return 0;
}

void Memory::clear() {
    while (!regions_.empty()) unmap(regions_.begin()->first, regions_.begin()->second.size);
}

uint8_t* Memory::find(uint64_t address, unsigned length, bool write) const {
    auto next = regions_.upper_bound(address);
    if (next == regions_.begin()) return nullptr;
    const auto& [start, region] = *std::prev(next);
    const uint64_t at = address - start;
    if (at >= region.size || region.size - at < length || !region.base) return nullptr;
    if (!(write ? region.writable : region.readable)) return nullptr;
    return region.base + at;
}

bool Memory::read(uint64_t address, uint8_t* to, unsigned length) const {
    // A read may begin in one range and end in the next.
    for (unsigned done = 0; done < length;) {
        const unsigned piece = std::min(length - done, 4096u - unsigned((address + done) & 4095));
        const uint8_t* from = find(address + done, piece, false);
        if (!from) return false;
        std::memcpy(to + done, from, piece);
        done += piece;
    }
    return true;
}

namespace {

template <typename Word>
unsigned put_word(uint8_t* to, const uint8_t* from) {
    Word word;
    std::memcpy(&word, from, sizeof word);
    __atomic_store_n(reinterpret_cast<Word*>(to), word, __ATOMIC_RELEASE);
    return sizeof word;
}

// In the largest pieces that the place allows, from the first on: a host that looks meanwhile sees
// an index of its own whole, the old one or the new one, and no word before those in front of it.
void put(uint8_t* to, const uint8_t* from, unsigned length) {
    while (length) {
        const auto takes = [&](unsigned size) {
            return length >= size && reinterpret_cast<uintptr_t>(to) % size == 0;
        };
        const unsigned done = takes(8)   ? put_word<uint64_t>(to, from)
                              : takes(4) ? put_word<uint32_t>(to, from)
                              : takes(2) ? put_word<uint16_t>(to, from)
                                         : put_word<uint8_t>(to, from);
        to += done;
        from += done;
        length -= done;
    }
}

}  // namespace

bool Memory::write(uint64_t address, const Tlp& tlp) {
    const Span span = enabled_span(tlp);
    if (!span.length) return true;
    uint8_t* to = find(address + span.offset, span.length, true);
    if (!to) return false;
    const unsigned end = span.offset + span.length;
    // Only in writes of one or two doublewords may enables have holes (2.2.5).
    const auto enabled = [&](unsigned at) {
        return tlp.length > 2 || (at < 4 ? tlp.first_be : tlp.last_be) >> (at & 3) & 1;
    };
    for (unsigned at = span.offset, next; at < end; at = next + 1) {
        for (next = at; next < end && enabled(next);) ++next;
        put(to + (at - span.offset), tlp.data.data() + at, next - at);
    }
    return true;
}

}  // namespace niter
