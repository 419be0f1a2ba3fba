#include "root.hpp"

#include <algorithm>

#include "log.hpp"

namespace niter {

namespace {

constexpr unsigned kBoundary = 64;            // Read Completion Boundary
constexpr uint64_t kRetryCycles = 200;        // between two attempts at a function that is not ready
constexpr uint64_t kTimeoutCycles = 4000000;  // of a request to the card
constexpr uint64_t kPage = 4096;

unsigned offset_of(uint64_t address) { return unsigned(address & 3); }

}  // namespace

Root::Root(Link& link, Random& random, const Timing& timing, unsigned functions)
    : endpoints(functions), link_(link), random_(random), timing_(timing), queues_(functions) {
    link_.deliver = [this](Bytes bytes) { arrived(std::move(bytes)); };
}

void Root::submit(unsigned function, Operation operation) {
    Queue& queue = queues_[function];
    if (queue.operations.empty()) queue.deadline = 0;
    queue.operations.push_back(std::move(operation));
}

bool Root::idle() const {
    return answers_.empty() && std::all_of(queues_.begin(), queues_.end(), [](const Queue& queue) {
               return queue.operations.empty();
           });
}

void Root::tick(uint64_t now) {
    now_ = now;
    const auto waits = [this](const Queue& queue) { return !queue.operations.empty() && queue.outstanding; };
    for (Queue& queue : queues_) {
        if (!waits(queue) || now_ < queue.deadline) continue;
        ++counters.timeouts;
        say("the card does not answer a request");
        finish(queue, false, ~uint64_t(0));
    }
    if (!link_.may_send(kCompletions, 0)) return;
    for (unsigned n = 0; n < queues_.size(); ++n) {
        turn_ = (turn_ + 1) % unsigned(queues_.size());
        if (request(turn_)) return;
    }
    // A completion does not pass a write that waits for credits (2.4.1).
    const auto writes = [](const Queue& queue) {
        return !queue.operations.empty() && queue.operations.front().kind == Operation::kWrite;
    };
    if (std::none_of(queues_.begin(), queues_.end(), writes)) answer();
}

bool Root::request(unsigned function) {
    Queue& queue = queues_[function];
    if (queue.operations.empty() || queue.outstanding || now_ < queue.retry_at) return false;
    Operation& operation = queue.operations.front();
    const bool write = operation.kind == Operation::kWrite || operation.kind == Operation::kConfigWrite;
    Tlp tlp;
    tlp.tag = uint8_t(function);
    set_span(tlp, operation.address, operation.length);
    if (operation.kind == Operation::kConfigRead || operation.kind == Operation::kConfigWrite) {
        tlp.type = write ? kConfigWrite : kConfigRead;
        tlp.address |= uint64_t(kBus) << 24 | uint64_t(function) << 16;
    } else {
        tlp.type = write ? kMemoryWrite : kMemoryRead;
        if (tlp.address >> 32) tlp.type |= 0x20;
    }
    if (write) {
        tlp.data.assign(4u * tlp.length, 0);
        for (unsigned n = 0; n < operation.length; ++n)
            tlp.data[offset_of(operation.address) + n] = uint8_t(operation.data >> 8 * n);
    }
    const Class kind = operation.kind == Operation::kWrite ? kPosted : kNonposted;
    if (!link_.may_send(kind, tlp.data.size())) return false;
    link_.send(kind, pack(tlp), tlp.data.size());
    if (kind == kPosted) {
        finish(queue, true, 0);
    } else {
        queue.outstanding = true;
        queue.collected.clear();
        queue.deadline = now_ + kTimeoutCycles;
    }
    return true;
}

void Root::finish(Queue& queue, bool good, uint64_t data) {
    // What is done may submit more.
    const auto done = std::move(queue.operations.front().done);
    queue.operations.pop_front();
    queue.outstanding = false;
    queue.retry_at = 0;
    if (done) done(good, data);
}

void Root::arrived(Bytes bytes) {
    const auto tlp = parse(bytes);
    if (!tlp) return violation("no TLP that an endpoint sends", bytes);
    if (tlp->is_completion()) return completed(*tlp);
    const unsigned function = tlp->requester & 7;
    if (tlp->requester >> 3 != kBus << 5 || function >= endpoints.size())
        return violation("a requester that does not exist", bytes);
    if (tlp->is_message()) {
        ++counters.messages;
        say("function %u sends message %02x", function, unsigned(tlp->code));
        return;
    }
    const Endpoint& endpoint = endpoints[function];
    const bool four = tlp->type & 0x20;
    if (four != (tlp->address >> 32 != 0)) return violation("format and address disagree", bytes);
    if ((tlp->last_be == 0) != (tlp->length == 1)) return violation("byte enables", bytes);
    if ((tlp->address & (kPage - 1)) + 4u * tlp->length > kPage)
        return violation("a request across a page", bytes);
    if (tlp->is_read()) {
        if (4u * tlp->length > endpoint.max_read) violation("beyond Max_Read_Request_Size", bytes);
        read(*tlp);
    } else {
        if (tlp->data.size() > endpoint.max_payload) violation("beyond Max_Payload_Size", bytes);
        write(*tlp);
    }
}

void Root::violation(const char* what, const Bytes& bytes) {
    ++counters.violations;
    std::string text;
    for (size_t n = 0; n < std::min<size_t>(bytes.size(), 16); ++n) {
        char byte[3];
        std::snprintf(byte, sizeof byte, "%02x", unsigned(bytes[n]));
        text += byte;
    }
    say("the card breaks a rule: %s (%s)", what, text.c_str());
}

void Root::completed(const Tlp& tlp) {
    if (tlp.tag >= queues_.size() || !queues_[tlp.tag].outstanding)
        return violation("a completion that nobody waits for", pack(tlp));
    Queue& queue = queues_[tlp.tag];
    const Operation& operation = queue.operations.front();
    if (tlp.status == kRetry && operation.kind <= Operation::kConfigWrite) {
        queue.outstanding = false;
        queue.retry_at = now_ + kRetryCycles;
        return;
    }
    if (tlp.status != kSuccess) return finish(queue, false, ~uint64_t(0));
    queue.collected.insert(queue.collected.end(), tlp.data.begin(), tlp.data.end());
    const bool read = operation.kind == Operation::kRead || operation.kind == Operation::kConfigRead;
    const unsigned expected = read ? (offset_of(operation.address) + operation.length + 3) / 4 * 4 : 0;
    if (queue.collected.size() < expected) return;
    uint64_t value = 0;
    for (unsigned n = 0; read && n < operation.length; ++n)
        value |= uint64_t(queue.collected[offset_of(operation.address) + n]) << 8 * n;
    finish(queue, true, value);
}

void Root::write(const Tlp& tlp) {
    Endpoint& endpoint = endpoints[tlp.requester & 7];
    if (!endpoint.master) {
        ++counters.refused;
        return;
    }
    if (tlp.address == kInterrupts + (tlp.requester & 7u) * kPage && tlp.length == 1) {
        uint32_t vector = 0;
        for (unsigned n = 0; n < 4; ++n) vector |= uint32_t(tlp.data[n]) << 8 * n;
        ++endpoint.interrupts;
        if (endpoint.interrupt) endpoint.interrupt(vector);
        return;
    }
    ++counters.writes;
    counters.written_bytes += tlp.data.size();
    if (endpoint.memory.write(tlp.address, tlp)) return;
    ++counters.refused;
    say("function %u writes to %#llx, where no memory is", tlp.requester & 7u,
        static_cast<unsigned long long>(tlp.address));
}

void Root::read(const Tlp& tlp) {
    const Endpoint& endpoint = endpoints[tlp.requester & 7];
    const Span span = enabled_span(tlp);
    ++counters.reads;
    if (faults.silence) {
        --faults.silence;
        return;
    }
    counters.read_bytes += span.length;
    Answer answer{now_ + timing_.latency + random_.upto(timing_.spread), tlp, 0, span.length, false};
    // A read of no bytes is answered with one doubleword that nobody looks at.
    if (!answer.left) answer.left = 1;
    Bytes there(answer.left);
    const uint64_t from = tlp.address + span.offset;
    answer.refused = !endpoint.master || !endpoint.memory.read(from, there.data(), answer.left);
    if (faults.refuse) {
        --faults.refuse;
        answer.refused = true;
        ++counters.refused;
    } else if (answer.refused) {
        ++counters.refused;
        if (endpoint.master)
            say("function %u reads from %#llx, where no memory is", tlp.requester & 7u,
                static_cast<unsigned long long>(from));
    }
    answers_.push_back(std::move(answer));
}

bool Root::answer() {
    const auto due = [this](const Answer& answer) { return answer.due <= now_; };
    const auto found = std::find_if(answers_.begin(), answers_.end(), due);
    if (found == answers_.end()) return false;
    Answer& answer = *found;
    const Tlp& request = answer.request;
    const Endpoint& endpoint = endpoints[request.requester & 7];
    const uint64_t from = request.address + enabled_span(request).offset + answer.offset;
    Tlp tlp;
    tlp.type = kCompletion;
    tlp.attributes = request.attributes;
    tlp.requester = request.requester;
    tlp.tag = request.tag;
    tlp.byte_count = uint16_t(answer.left);
    tlp.lower_address = uint8_t(from & 0x7F);
    // As far as the payload may go, or to a boundary before that.
    uint64_t end = std::min<uint64_t>(from + answer.left, (from & ~3ull) + endpoint.max_payload);
    if (end != from + answer.left) end &= ~uint64_t(kBoundary - 1);
    const uint64_t first = (from / kBoundary + 1) * kBoundary;
    for (uint64_t at = first; at < end; at += kBoundary)
        if (random_.chance(timing_.split)) end = at;
    const unsigned length = unsigned(end - from);
    const unsigned skip = offset_of(from);
    tlp.length = uint16_t((skip + length + 3) / 4);
    tlp.data.assign(4u * tlp.length, 0);
    // Memory is looked at again: it may have gone since.
    if (answer.refused || !endpoint.memory.read(from, tlp.data.data() + skip, length)) {
        tlp.status = kUnsupported;
        tlp.length = 0;
        tlp.data.clear();
        answer.left = length;
    } else {
        tlp.type = kCompletionData;
    }
    link_.send(kCompletions, pack(tlp), tlp.data.size());
    answer.offset += length;
    answer.left -= length;
    answer.due = now_ + random_.upto(timing_.spread / 4);
    if (!answer.left) answers_.erase(found);
    return true;
}

}  // namespace niter
