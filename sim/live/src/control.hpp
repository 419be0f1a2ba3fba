// A socket on which one line is one command: registers, state, start and stop.
#pragma once

#include <poll.h>

#include <functional>
#include <list>
#include <string>
#include <vector>

namespace niter {

class Control {
public:
    // What a line is answered with, in one line.
    using Answer = std::function<std::string(const std::string& line)>;

    Control(const std::string& path, Answer answer);
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;
    ~Control();

    void wanted(std::vector<pollfd>& out) const;
    // With the descriptors that ``wanted`` named, as poll has left them.
    void ready(const pollfd* polled);

private:
    struct Client {
        int fd;
        std::string in, out;
    };
    bool serve(Client& client, short events);

    std::string path_;
    Answer answer_;
    int listen_ = -1;
    std::list<Client> clients_;
};

}  // namespace niter
