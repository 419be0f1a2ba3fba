#include "control.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "log.hpp"

namespace niter {

namespace {

constexpr size_t kMostLine = 4096, kMostOut = 1 << 20, kMostClients = 16;

}  // namespace

Control::Control(const std::string& path, Answer answer) : path_(path), answer_(std::move(answer)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    if (path.size() >= sizeof at.sun_path) fail("the path %s is too long", path.c_str());
    std::memcpy(at.sun_path, path.c_str(), path.size());
    unlink(path.c_str());
    listen_ = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listen_ < 0 || bind(listen_, reinterpret_cast<sockaddr*>(&at), sizeof at) || listen(listen_, 4))
        fail("%s: %s", path.c_str(), error_text().c_str());
}

Control::~Control() {
    for (auto& client : clients_) close(client.fd);
    close(listen_);
    unlink(path_.c_str());
}

void Control::wanted(std::vector<pollfd>& out) const {
    out.push_back({listen_, short(clients_.size() < kMostClients ? POLLIN : 0), 0});
    for (const auto& client : clients_)
        out.push_back({client.fd, short(client.out.empty() ? POLLIN : POLLOUT), 0});
}

void Control::ready(const pollfd* polled) {
    const pollfd* own = polled + 1;
    for (auto client = clients_.begin(); client != clients_.end(); ++own) {
        if (own->revents && !serve(*client, own->revents)) {
            close(client->fd);
            client = clients_.erase(client);
        } else {
            ++client;
        }
    }
    if (!(polled->revents & POLLIN)) return;
    const int fd = accept4(listen_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) clients_.push_back({fd, "", ""});
}

bool Control::serve(Client& client, short events) {
    if (events & POLLIN) {
        char bytes[4096];
        const ssize_t got = read(client.fd, bytes, sizeof bytes);
        if (got <= 0) return got < 0 && errno == EAGAIN;
        client.in.append(bytes, size_t(got));
        for (size_t end; (end = client.in.find('\n')) != std::string::npos;) {
            client.out += answer_(client.in.substr(0, end)) + '\n';
            client.in.erase(0, end + 1);
        }
        if (client.in.size() > kMostLine || client.out.size() > kMostOut) return false;
    } else if (!(events & POLLOUT)) {
        return false;
    }
    const ssize_t sent = send(client.fd, client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    client.out.erase(0, size_t(sent));
    return true;
}

}  // namespace niter
