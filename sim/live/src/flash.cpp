#include "flash.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "log.hpp"

namespace niter {

namespace {

enum : uint8_t {
    kProgram = 0x02,
    kRead = 0x03,
    kWriteDisable = 0x04,
    kReadStatus = 0x05,
    kWriteEnable = 0x06,
    kFastRead = 0x0b,
    kErase4K = 0x20,
    kErase32K = 0x52,
    kErase64K = 0xd8,
    kIdentity = 0x9f,
};
constexpr uint8_t kBusy = 1, kEnabled = 2, kErased = 0xff;
constexpr uint8_t kName[] = {0xef, 0x40, 0x18};
constexpr uint32_t kPage = 256;
constexpr off_t kLargest = 1 << 24;  // that 24 bits of address reach
// The typical times, 0.7 ms and 45 ms, would take most of a simulation.
constexpr uint64_t kProgramCycles = 125, kEraseCycles = 320;

uint32_t erased_by(uint8_t opcode) {
    return opcode == kErase4K ? 4096 : opcode == kErase32K ? 32768 : opcode == kErase64K ? 65536 : 0;
}

}  // namespace

Flash::Flash(const ProcessorPins& pins, const std::string& path) : pins_(pins) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct stat found {};
    if (fd < 0 || fstat(fd, &found)) fail("%s: %s", path.c_str(), error_text().c_str());
    if (!found.st_size || (found.st_size & (found.st_size - 1)) || found.st_size > kLargest)
        fail("%s is no content of a flash, which has a power of two up to 16 MiB", path.c_str());
    size_ = uint32_t(found.st_size);
    void* at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) fail("%s: %s", path.c_str(), error_text().c_str());
    close(fd);
    memory_ = static_cast<uint8_t*>(at);
}

Flash::~Flash() { munmap(memory_, size_); }

void Flash::cycle(uint64_t now) {
    const bool selected = !*pins_.cs_n, clock = *pins_.sck;
    if (selected != selected_) {
        if (!selected) deselected(now);
        selected_ = selected;
        bits_ = 0;
        sent_ = 0;
        out_ = 0;
        command_.clear();
    } else if (selected && clock && !clock_) {
        byte_ = uint8_t(byte_ << 1 | *pins_.copi);
        if (++bits_ % 8 == 0) received(now);
    } else if (selected && !clock && clock_) {
        if (bits_ % 8 == 0) out_ = answer(now);
        *pins_.cipo = out_ >> (7 - bits_ % 8) & 1;
    }
    clock_ = clock;
}

void Flash::received(uint64_t now) {
    const size_t header = command_.empty() ? 0 : command_[0] == kRead ? 4 : command_[0] == kFastRead ? 5 : 0;
    if (!header || command_.size() < header) command_.push_back(byte_);
    else ++sent_;
    if (header && command_.size() >= 4)
        address_ = uint32_t(command_[1]) << 16 | uint32_t(command_[2]) << 8 | command_[3];
    if (now < ready_at_ && command_[0] != kReadStatus) command_[0] = 0;
}

// The byte that leaves behind those that have come.
uint8_t Flash::answer(uint64_t now) const {
    if (command_.empty()) return 0;
    switch (command_[0]) {
        case kReadStatus: return uint8_t((now < ready_at_ ? kBusy : 0) | (enabled_ ? kEnabled : 0));
        case kIdentity: return command_.size() <= sizeof kName ? kName[command_.size() - 1] : 0;
        case kRead: return command_.size() < 4 ? 0 : memory_[(address_ + sent_) % size_];
        case kFastRead: return command_.size() < 5 ? 0 : memory_[(address_ + sent_) % size_];
        default: return 0;
    }
}

void Flash::deselected(uint64_t now) {
    if (bits_ % 8 || command_.empty() || now < ready_at_) return;
    const uint8_t opcode = command_[0];
    if (opcode == kWriteEnable || opcode == kWriteDisable) enabled_ = opcode == kWriteEnable;
    if (!enabled_ || command_.size() < 4) return;
    const uint32_t at = (uint32_t(command_[1]) << 16 | uint32_t(command_[2]) << 8 | command_[3]) % size_;
    if (opcode == kProgram && command_.size() > 4) {
        for (size_t n = 4; n < command_.size(); ++n)
            memory_[at / kPage * kPage + (at + n - 4) % kPage] &= command_[n];
        ready_at_ = now + kProgramCycles;
    } else if (const uint32_t length = command_.size() == 4 ? erased_by(opcode) : 0) {
        std::memset(memory_ + at / length * length, kErased, length);
        ready_at_ = now + kEraseCycles;
    } else {
        return;
    }
    enabled_ = false;
}

void Console::cycle() {
    if (!at_) {
        if (!*pins_.uart_tx) at_ = 1;
        return;
    }
    // In the middle of each bit: the start bit, eight of the byte, the stop bit.
    const unsigned bit = at_ / bit_, phase = at_ % bit_;
    if (phase == bit_ / 2 && bit >= 1 && bit <= 8)
        byte_ = uint8_t(byte_ >> 1 | (*pins_.uart_tx ? 0x80 : 0));
    if (++at_ < 9 * bit_ + bit_ / 2) return;
    at_ = 0;
    say("console: %c", byte_);
}

}  // namespace niter
