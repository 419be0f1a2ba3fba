// A root complex: it sends functions their requests, one at a time each, answers what they read
// of memory, and turns their interrupts into events.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "link.hpp"
#include "memory.hpp"

namespace niter {

// A request to a function, and what came of it.
struct Operation {
    enum Kind { kConfigRead, kConfigWrite, kRead, kWrite } kind;
    uint64_t address;  // offset in configuration space, or of the bus
    unsigned length;   // 1 to 8 bytes; of configuration space within a doubleword
    uint64_t data;
    std::function<void(bool good, uint64_t data)> done;  // a write's comes when it is sent
};

// What the root complex knows of a function, and who is behind it.
struct Endpoint {
    Memory memory;
    bool master = false;         // Bus Master Enable
    unsigned max_payload = 128, max_read = 512;
    std::function<void(uint32_t vector)> interrupt;
    uint64_t interrupts = 0;
};

// How memory behaves; in core cycles.
struct Timing {
    unsigned latency = 20;      // from a read's arrival to the first completion
    unsigned spread = 0;        // added at random, so that reads overtake each other
    double split = 0.5;         // probability that a completion ends at a boundary where it might
};

// Reads that are to go wrong, counted down by the card's next ones.
struct Faults {
    uint32_t refuse = 0;   // answered with Unsupported Request
    uint32_t silence = 0;  // not answered at all
};

struct Counters {
    uint64_t reads = 0, writes = 0, read_bytes = 0, written_bytes = 0;
    uint64_t messages = 0, refused = 0, violations = 0, timeouts = 0;
};

class Root {
public:
    static constexpr uint16_t kBus = 1;
    static constexpr uint64_t kInterrupts = 0xFEE00000;  // a page for each function

    Root(Link& link, Random& random, const Timing& timing, unsigned functions);

    void submit(unsigned function, Operation operation);
    bool idle() const;
    // Once a cycle.
    void tick(uint64_t now);

    std::vector<Endpoint> endpoints;
    Counters counters;
    Faults faults;

private:
    struct Queue {
        std::deque<Operation> operations;
        bool outstanding = false;
        uint64_t deadline = 0, retry_at = 0;
        Bytes collected;
    };
    struct Answer {
        uint64_t due;
        Tlp request;
        unsigned offset, left;  // bytes of it: done, to come
        bool refused;
    };

    void arrived(Bytes bytes);
    void completed(const Tlp& tlp);
    void finish(Queue& queue, bool good, uint64_t data);
    void read(const Tlp& tlp);
    void write(const Tlp& tlp);
    bool answer();
    bool request(unsigned function);
    void violation(const char* what, const Bytes& bytes);

    Link& link_;
    Random& random_;
    Timing timing_;
    std::vector<Queue> queues_;
    std::deque<Answer> answers_;
    uint64_t now_ = 0;
    unsigned turn_ = 0;
};

}  // namespace niter
