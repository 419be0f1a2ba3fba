#include "vfio_user.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "log.hpp"

namespace niter {

namespace {

enum Command : uint16_t {
    kVersion = 1,
    kDmaMap = 2,
    kDmaUnmap = 3,
    kDeviceInfo = 4,
    kRegionInfo = 5,
    kRegionIoFds = 6,
    kIrqInfo = 7,
    kSetIrqs = 8,
    kRegionRead = 9,
    kRegionWrite = 10,
    kDeviceReset = 13,
};

constexpr size_t kHeader = 16;
constexpr uint32_t kReply = 1, kNoReply = 0x10, kError = 0x20, kTypeMask = 0xF;
constexpr size_t kMostFds = 16, kMostData = 65536, kMostBytes = kMostData + 256;
constexpr unsigned kRegions = 9, kConfigRegion = 7, kIrqs = 5, kMsixIrq = 2;
constexpr uint32_t kReadable = 1, kWritable = 2;

uint64_t get(const Bytes& in, size_t at, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned n = 0; n < bytes; ++n) value |= uint64_t(in[at + n]) << 8 * n;
    return value;
}

void put(Bytes& out, uint64_t value, unsigned bytes) {
    for (unsigned n = 0; n < bytes; ++n) out.push_back(uint8_t(value >> 8 * n));
}

Bytes words(std::initializer_list<uint32_t> values) {
    Bytes out;
    for (uint32_t value : values) put(out, value, 4);
    return out;
}

}  // namespace

struct Server::Message {
    uint16_t id, command;
    bool wanted;  // an answer
    Bytes payload;
    std::deque<int> fds;
};

Server::Server(Root& root, Function& function, unsigned number, std::string path)
    : root_(root), function_(function), number_(number), path_(std::move(path)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    if (path_.size() >= sizeof at.sun_path) fail("the path %s is too long", path_.c_str());
    std::memcpy(at.sun_path, path_.c_str(), path_.size());
    unlink(path_.c_str());
    listen_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listen_ < 0 || bind(listen_, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(listen_, 1))
        fail("%s: %s", path_.c_str(), error_text().c_str());
}

Server::~Server() {
    if (client_ >= 0) close(client_);
    close(listen_);
    close_fds();
    unlink(path_.c_str());
}

void Server::close_fds() {
    for (int fd : fds_) close(fd);
    fds_.clear();
}

pollfd Server::wanted() const {
    if (client_ < 0) return {listen_, POLLIN, 0};
    // While a request is in work, or an answer is not taken, nothing more is read.
    const short events = !out_.empty() ? POLLOUT : busy_ ? 0 : POLLIN;
    return {client_, events, 0};
}

void Server::ready(short events) {
    if (client_ < 0) return accept_client();
    if (events & POLLOUT) transmit();
    if (client_ >= 0 && events & POLLIN && !busy_ && out_.empty()) receive();
    if (client_ >= 0 && events & (POLLHUP | POLLERR) && !(events & POLLIN)) drop(nullptr);
}

void Server::accept_client() {
    client_ = accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client_ < 0) return;
    ++generation_;
    greeted_ = false;
    say("function %u has a host", number_);
}

void Server::drop(const char* why) {
    if (why) {
        ++errors;
        say("function %u: %s; its host is cut off", number_, why);
    } else {
        say("function %u has lost its host", number_);
    }
    close(client_);
    client_ = -1;
    ++generation_;
    in_.clear();
    out_.clear();
    close_fds();
    // Whatever is in work goes on, and nobody hears of it.
    busy_ = false;
    function_.forget();
}

void Server::receive() {
    // No further than to the end of a message: the kernel gives descriptors with the first byte of
    // theirs, and would add those of the next one to the bytes of one that has none.
    while (client_ >= 0 && !busy_ && out_.empty()) {
        const size_t wanted = in_.size() < kHeader ? kHeader : get(in_, 4, 4);
        Bytes bytes(wanted - in_.size());
        alignas(cmsghdr) uint8_t ancillary[CMSG_SPACE(kMostFds * sizeof(int))];
        iovec part{bytes.data(), bytes.size()};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = ancillary;
        header.msg_controllen = sizeof ancillary;
        const ssize_t got = recvmsg(client_, &header, MSG_CMSG_CLOEXEC);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) return drop(nullptr);
        for (cmsghdr* c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
            if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
            const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t n = 0; n < count; ++n) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(c) + n * sizeof fd, sizeof fd);
                fds_.push_back(fd);
            }
        }
        if (header.msg_flags & MSG_CTRUNC) return drop("more descriptors than a message may carry");
        in_.insert(in_.end(), bytes.begin(), bytes.begin() + got);
        dispatch();
    }
}

void Server::dispatch() {
    if (in_.size() < kHeader) return;
    const size_t size = get(in_, 4, 4);
    if (size < kHeader || size > kMostBytes) return drop("a message with an impossible size");
    if (in_.size() < size) return;
    const uint32_t flags = uint32_t(get(in_, 8, 4));
    Message message;
    message.id = uint16_t(get(in_, 0, 2));
    message.command = uint16_t(get(in_, 2, 2));
    message.wanted = !(flags & kNoReply);
    message.payload.assign(in_.begin() + kHeader, in_.end());
    in_.clear();
    if ((flags & kTypeMask) != 0) return drop("a reply that nobody asked for");
    if (message.command == kDmaMap || message.command == kSetIrqs) message.fds.swap(fds_);
    if (!greeted_ && message.command != kVersion) return drop("a request before the version");
    handle(std::move(message));
    close_fds();
}

void Server::handle(Message message) {
    const auto needs = [&](size_t bytes) { return message.payload.size() >= bytes; };
    const auto refuse = [&](int error) {
        ++errors;
        reply(message.id, message.command, message.wanted, {}, error);
    };
    bool fits = true;
    switch (message.command) {
        case kVersion:
            if ((fits = needs(4))) version(message);
            break;
        case kDmaMap:
            if ((fits = needs(32))) dma_map(message);
            break;
        case kDmaUnmap:
            if ((fits = needs(24))) dma_unmap(message);
            break;
        case kDeviceInfo:
            if ((fits = needs(4))) device_info(message);
            break;
        case kRegionInfo:
            if ((fits = needs(32))) region_info(message);
            break;
        case kIrqInfo:
            if ((fits = needs(16))) irq_info(message);
            break;
        case kSetIrqs:
            if ((fits = needs(20))) set_irqs(message);
            break;
        case kRegionRead:
        case kRegionWrite:
            if ((fits = needs(16))) region(message, message.command == kRegionWrite);
            break;
        case kDeviceReset: {
            busy_ = true;
            const uint64_t generation = generation_;
            function_.reset([this, generation, id = message.id, wanted = message.wanted] {
                if (generation != generation_) return;
                busy_ = false;
                reply(id, kDeviceReset, wanted, {});
            });
            break;
        }
        default:
            refuse(ENOTSUP);
    }
    if (!fits) refuse(EINVAL);
    for (int fd : message.fds)
        if (fd >= 0) close(fd);
}

void Server::reply(uint16_t id, uint16_t command, bool wanted, const Bytes& payload, int error) {
    if (client_ < 0 || !wanted) return;
    put(out_, id, 2);
    put(out_, command, 2);
    put(out_, kHeader + (error ? 0 : payload.size()), 4);
    put(out_, kReply | (error ? kError : 0), 4);
    put(out_, uint32_t(error), 4);
    if (!error) out_.insert(out_.end(), payload.begin(), payload.end());
    transmit();
}

void Server::transmit() {
    while (!out_.empty()) {
        const ssize_t sent = send(client_, out_.data(), out_.size(), MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (sent < 0) return drop(nullptr);
        out_.erase(out_.begin(), out_.begin() + sent);
    }
}

void Server::version(const Message& message) {
    if (get(message.payload, 0, 2) != 0) return drop("a version of the protocol that is not known");
    greeted_ = true;
    Bytes out;
    put(out, 0, 2);
    put(out, 0, 2);
    const std::string offer = "{\"capabilities\":{\"max_msg_fds\":" + std::to_string(kMostFds) +
                              ",\"max_data_xfer_size\":" + std::to_string(kMostData) + "}}";
    out.insert(out.end(), offer.begin(), offer.end());
    out.push_back(0);
    reply(message.id, message.command, message.wanted, out);
}

void Server::device_info(const Message& message) {
    constexpr uint32_t kResettable = 1, kPci = 2;
    reply(message.id, message.command, message.wanted, words({16, kResettable | kPci, kRegions, kIrqs}));
}

void Server::region_info(const Message& message) {
    const uint32_t index = uint32_t(get(message.payload, 8, 4));
    if (index >= kRegions) return reply(message.id, message.command, message.wanted, {}, EINVAL);
    const uint64_t size = index < Function::kBars  ? function_.bar_size(index)
                          : index == kConfigRegion ? Function::kConfigBytes
                                                   : 0;
    Bytes out = words({32, size ? kReadable | kWritable : 0, index, 0});
    put(out, size, 8);
    put(out, 0, 8);
    reply(message.id, message.command, message.wanted, out);
}

void Server::irq_info(const Message& message) {
    constexpr uint32_t kEventfd = 1, kMaskable = 2;
    const uint32_t index = uint32_t(get(message.payload, 8, 4));
    if (index >= kIrqs) return reply(message.id, message.command, message.wanted, {}, EINVAL);
    const bool msix = index == kMsixIrq;
    reply(message.id, message.command, message.wanted,
          words({16, msix ? kEventfd | kMaskable : 0, index, msix ? function_.vectors() : 0}));
}

void Server::dma_map(const Message& message) {
    const Bytes& in = message.payload;
    const uint64_t flags = get(in, 4, 4);
    const int fd = message.fds.empty() ? -1 : message.fds.front();
    const int error = root_.endpoints[number_].memory.map(get(in, 16, 8), get(in, 24, 8), fd,
                                                          get(in, 8, 8), flags & 1, flags & 2);
    if (error) {
        ++errors;
        say("function %u: a map is refused: %s", number_, std::strerror(error));
    }
    reply(message.id, message.command, message.wanted, {}, error);
}

void Server::dma_unmap(const Message& message) {
    constexpr uint64_t kAll = 2;
    const Bytes& in = message.payload;
    Memory& memory = root_.endpoints[number_].memory;
    int error = 0;
    if (get(in, 4, 4) & kAll)
        memory.clear();
    else
        error = memory.unmap(get(in, 8, 8), get(in, 16, 8));
    errors += error != 0;
    reply(message.id, message.command, message.wanted, Bytes(in.begin(), in.begin() + 24), error);
}

void Server::set_irqs(const Message& message) {
    constexpr uint32_t kNone = 1, kEventfds = 4, kMask = 8, kUnmask = 16, kTrigger = 32;
    const Bytes& in = message.payload;
    const uint32_t flags = uint32_t(get(in, 4, 4)), index = uint32_t(get(in, 8, 4));
    const uint64_t start = get(in, 12, 4), count = get(in, 16, 4);
    const auto answer = [&](int error) {
        errors += error != 0;
        reply(message.id, message.command, message.wanted, {}, error);
    };
    if (index >= kIrqs) return answer(EINVAL);
    if (index != kMsixIrq) return answer(count ? EINVAL : 0);
    if (start + count > function_.vectors()) return answer(EINVAL);
    if (flags & (kMask | kUnmask) && flags & kNone) {
        for (uint64_t n = 0; n < count; ++n) function_.set_mask(unsigned(start + n), flags & kMask);
        return answer(0);
    }
    if (!(flags & kTrigger)) return answer(ENOTSUP);
    if (flags & kNone && !count) {
        for (unsigned n = 0; n < function_.vectors(); ++n) function_.set_event(n, -1);
        return answer(0);
    }
    if (!(flags & kEventfds)) return answer(ENOTSUP);
    if (!message.fds.empty() && message.fds.size() != count) return answer(EINVAL);
    for (uint64_t n = 0; n < count; ++n)
        function_.set_event(unsigned(start + n), message.fds.empty() ? -1 : dup(message.fds[n]));
    answer(0);
}

void Server::region(const Message& message, bool write) {
    const Bytes& in = message.payload;
    const uint64_t offset = get(in, 0, 8), index = get(in, 8, 4), count = get(in, 12, 4);
    const uint64_t size = index == kConfigRegion         ? Function::kConfigBytes
                          : index < Function::kBars ? function_.bar_size(unsigned(index))
                                                    : 0;
    const bool fits = count && count <= kMostData && offset <= size && count <= size - offset &&
                      (!write || in.size() == 16 + count);
    if (!fits) {
        ++errors;
        return reply(message.id, message.command, message.wanted, {}, EINVAL);
    }
    ++accesses;
    busy_ = true;
    Bytes head(in.begin(), in.begin() + 16);
    const auto done = [this, head, generation = generation_, id = message.id, command = message.command,
                       wanted = message.wanted](Bytes data) {
        if (generation != generation_) return;
        busy_ = false;
        Bytes out = head;
        out.insert(out.end(), data.begin(), data.end());
        reply(id, command, wanted, out);
    };
    const unsigned length = unsigned(count);
    Bytes data(in.begin() + 16, in.end());
    if (index == kConfigRegion && write)
        function_.config_write(unsigned(offset), std::move(data), done);
    else if (index == kConfigRegion)
        function_.config_read(unsigned(offset), length, done);
    else if (write)
        function_.bar_write(unsigned(index), offset, std::move(data), done);
    else
        function_.bar_read(unsigned(index), offset, length, done);
}

}  // namespace niter
