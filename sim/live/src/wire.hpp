// What a port's cable ends in: a device or a socket that takes and gives whole frames.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "tlp.hpp"

namespace niter {

class Wire {
public:
    // From a description:
    //   none                       nothing is plugged in
    //   tap:NAME                   a TAP device, made when it does not exist (needs root then)
    //   packet:NAME                an interface, by packet socket (needs root)
    //   unix:PATH[,PEER]           datagrams
    //   udp:HOST:PORT[,HOST:PORT]  datagrams
    // Without a peer, frames go to whoever sent the last one.
    static std::unique_ptr<Wire> open(const std::string& description);

    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    ~Wire();

    int fd() const { return fd_; }
    // Never waits: what cannot be taken at once is lost, and counted.
    void send(const Bytes& frame);
    std::optional<Bytes> receive();

    uint64_t lost = 0;

private:
    Wire() = default;
    void open_tap(const std::string& name);
    void open_packet(const std::string& name);
    void open_unix(const std::string& own, const std::string& peer);
    void open_udp(const std::string& own, const std::string& peer);
    void complain();
    // A TAP device that was removed would have us look for ever.
    void vanish();

    int fd_ = -1;
    bool datagrams_ = false, learns_ = false, broken_ = false;
    sockaddr_storage peer_{};
    socklen_t peer_size_ = 0;
    std::string path_;
};

}  // namespace niter
