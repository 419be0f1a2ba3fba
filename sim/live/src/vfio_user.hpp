// The server's side of the vfio-user protocol, version 0.0, for one function and one client.
#pragma once

#include <poll.h>

#include <deque>
#include <string>

#include "function.hpp"

namespace niter {

class Server {
public:
    Server(Root& root, Function& function, unsigned number, std::string path);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    // What to wait for, and what to do when it came.
    pollfd wanted() const;
    void ready(short events);

    bool connected() const { return client_ >= 0; }

    uint64_t accesses = 0, errors = 0;

private:
    struct Message;

    void accept_client();
    void receive();
    void transmit();
    void dispatch();
    void handle(Message message);
    void reply(uint16_t id, uint16_t command, bool wanted, const Bytes& payload, int error = 0);
    void drop(const char* why);
    void close_fds();

    void version(const Message& message);
    void device_info(const Message& message);
    void region_info(const Message& message);
    void irq_info(const Message& message);
    void dma_map(const Message& message);
    void dma_unmap(const Message& message);
    void set_irqs(const Message& message);
    void region(const Message& message, bool write);

    Root& root_;
    Function& function_;
    unsigned number_;
    std::string path_;
    int listen_ = -1, client_ = -1;
    uint64_t generation_ = 0;  // of the client: an answer for one that has gone is not sent
    Bytes in_, out_;
    std::deque<int> fds_;
    bool busy_ = false, greeted_ = false;
};

}  // namespace niter
