#include "wire.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <netdb.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "log.hpp"

namespace niter {

namespace {

// Longest frame that is taken from outside.
constexpr size_t kLongest = 16384;

std::pair<std::string, std::string> split(const std::string& text, char at) {
    const auto where = text.find(at);
    if (where == std::string::npos) return {text, ""};
    return {text.substr(0, where), text.substr(where + 1)};
}

ifreq request(const std::string& name) {
    ifreq out{};
    if (name.empty() || name.size() >= sizeof out.ifr_name)
        fail("'%s' cannot be an interface's name", name.c_str());
    std::memcpy(out.ifr_name, name.c_str(), name.size());
    return out;
}

sockaddr_un unix_address(const std::string& path) {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof out.sun_path)
        fail("'%s' cannot be a socket's path", path.c_str());
    std::memcpy(out.sun_path, path.c_str(), path.size());
    return out;
}

socklen_t udp_address(const std::string& text, sockaddr_storage& out) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) fail("'%s' is not HOST:PORT", text.c_str());
    std::string host = text.substr(0, colon);
    if (host.size() > 1 && host.front() == '[') host = host.substr(1, host.size() - 2);
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_DGRAM;
    const int failed = getaddrinfo(host.c_str(), text.substr(colon + 1).c_str(), &hints, &found);
    if (failed) fail("%s: %s", text.c_str(), gai_strerror(failed));
    std::memcpy(&out, found->ai_addr, found->ai_addrlen);
    const socklen_t size = found->ai_addrlen;
    freeaddrinfo(found);
    return size;
}

}  // namespace

std::unique_ptr<Wire> Wire::open(const std::string& description) {
    std::unique_ptr<Wire> wire(new Wire);
    const auto [kind, rest] = split(description, ':');
    const auto [own, peer] = split(rest, ',');
    if (kind == "tap") {
        wire->open_tap(rest);
    } else if (kind == "packet") {
        wire->open_packet(rest);
    } else if (kind == "unix") {
        wire->open_unix(own, peer);
    } else if (kind == "udp") {
        wire->open_udp(own, peer);
    } else if (description != "none") {
        fail("'%s' is no wire: tap, packet, unix, udp or none", description.c_str());
    }
    return wire;
}

Wire::~Wire() {
    if (fd_ >= 0) close(fd_);
    if (!path_.empty()) unlink(path_.c_str());
}

void Wire::open_tap(const std::string& name) {
    fd_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd_ < 0) fail("/dev/net/tun: %s", error_text().c_str());
    ifreq about = request(name);
    about.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(fd_, TUNSETIFF, &about)) fail("TAP %s: %s", name.c_str(), error_text().c_str());
}

void Wire::open_packet(const std::string& name) {
    fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
    if (fd_ < 0) fail("packet socket: %s", error_text().c_str());
    ifreq about = request(name);
    if (ioctl(fd_, SIOCGIFINDEX, &about)) fail("%s: %s", name.c_str(), error_text().c_str());
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_ALL);
    at.sll_ifindex = about.ifr_ifindex;
    // What we send ourselves does not come back; what is for other stations does come.
    const int on = 1;
    packet_mreq all{};
    all.mr_ifindex = about.ifr_ifindex;
    all.mr_type = PACKET_MR_PROMISC;
    if (bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) ||
        setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) ||
        setsockopt(fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all))
        fail("%s: %s", name.c_str(), error_text().c_str());
}

void Wire::open_unix(const std::string& own, const std::string& peer) {
    fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const sockaddr_un at = unix_address(own);
    unlink(own.c_str());
    if (fd_ < 0 || bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at))
        fail("%s: %s", own.c_str(), error_text().c_str());
    path_ = own;
    datagrams_ = true;
    learns_ = peer.empty();
    if (learns_) return;
    const sockaddr_un to = unix_address(peer);
    std::memcpy(&peer_, &to, sizeof to);
    peer_size_ = sizeof to;
}

void Wire::open_udp(const std::string& own, const std::string& peer) {
    sockaddr_storage at{};
    const socklen_t size = udp_address(own, at);
    fd_ = socket(at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&at), size))
        fail("%s: %s", own.c_str(), error_text().c_str());
    datagrams_ = true;
    learns_ = peer.empty();
    if (!learns_) peer_size_ = udp_address(peer, peer_);
}

void Wire::complain() {
    ++lost;
    if (!broken_) say("the wire takes no frames: %s", error_text().c_str());
    broken_ = true;
}

void Wire::vanish() {
    say("the wire has gone: its device was removed");
    close(fd_);
    fd_ = -1;
}

void Wire::send(const Bytes& frame) {
    if (fd_ < 0 || (datagrams_ && !peer_size_)) {
        ++lost;
        return;
    }
    const ssize_t sent =
        datagrams_ ? sendto(fd_, frame.data(), frame.size(), 0,
                            reinterpret_cast<const sockaddr*>(&peer_), peer_size_)
                   : ::write(fd_, frame.data(), frame.size());
    if (sent < 0)
        complain();
    else
        broken_ = false;
}

std::optional<Bytes> Wire::receive() {
    Bytes frame(kLongest);
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t got = datagrams_ ? recvfrom(fd_, frame.data(), frame.size(), 0,
                                              reinterpret_cast<sockaddr*>(&from), &size)
                                   : ::read(fd_, frame.data(), frame.size());
    if (got < 0 && errno == EBADFD) vanish();
    if (got <= 0) return std::nullopt;
    if (learns_ && size > sizeof(sa_family_t)) {
        peer_ = from;
        peer_size_ = size;
    }
    frame.resize(size_t(got));
    return frame;
}

}  // namespace niter
