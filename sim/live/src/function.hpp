// One function of the card as a host sees it through VFIO: its regions, with addresses of our
// own in its BARs and its MSI-X table, which a reset of the function must not lose.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "root.hpp"

namespace niter {

class Function {
public:
    static constexpr unsigned kBars = 6;
    static constexpr unsigned kConfigBytes = 4096;

    // Called when an access is over; data is what was read.
    using Done = std::function<void(Bytes data)>;

    Function(Root& root, unsigned number);
    Function(const Function&) = delete;
    Function& operator=(const Function&) = delete;

    // Reads what the function is and gives it addresses. ``done`` hears false when there is none.
    void enumerate(std::function<void(bool)> done);

    uint64_t bar_size(unsigned bar) const { return bars_[bar].size; }
    unsigned vectors() const { return unsigned(vectors_.size()); }

    void config_read(unsigned offset, unsigned length, Done done);
    void config_write(unsigned offset, Bytes data, Done done);
    void bar_read(unsigned bar, uint64_t offset, unsigned length, Done done);
    void bar_write(unsigned bar, uint64_t offset, Bytes data, Done done);

    // An eventfd for a vector, owned from now on; -1 for none.
    void set_event(unsigned vector, int fd);
    void set_mask(unsigned vector, bool masked);
    // Function level reset, after which the function is as it was when it was enumerated.
    void reset(std::function<void()> done);
    // The client has gone.
    void forget();

    // Interrupts of vectors that had no event, and were kept for the next one.
    uint64_t kept_interrupts = 0;

private:
    struct Bar {
        uint64_t size = 0, address = 0;
        std::array<uint8_t, 8> shown{};  // the register as the client has written it
        bool wide = false, upper = false;
        uint8_t flags = 0;
    };
    struct Vector {
        int event = -1;
        bool masked = false;
        bool waiting = false;  // was raised while there was no event
    };

    void ask(Operation::Kind kind, uint64_t address, unsigned length, uint64_t data,
             std::function<void(bool, uint64_t)> done = {});
    void size_bar(unsigned bar, std::function<void()> done);
    void walk(unsigned capability, unsigned left, std::function<void()> done);
    void follow(unsigned offset);
    void show_bar(unsigned offset, Bytes& data) const;
    void store_bar(unsigned offset, const Bytes& data);
    void place_bars();
    void place_vectors();
    void place_vector(unsigned vector);
    void interrupt(uint32_t vector);

    Root& root_;
    unsigned number_;
    std::array<Bar, kBars> bars_;
    std::vector<Vector> vectors_;
    unsigned express_ = 0, msix_ = 0, table_bar_ = 0;
    uint64_t table_ = 0;
    bool memory_ = false;  // Memory Space Enable
};

}  // namespace niter
