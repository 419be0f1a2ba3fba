// The card as a process: clocks run while there is work, and everything waits while there is none.
#pragma once

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include "control.hpp"
#include "flash.hpp"
#include "function.hpp"
#include "machine.hpp"
#include "options.hpp"
#include "root.hpp"
#include "vfio_user.hpp"
#include "waiting.hpp"

namespace niter {

class Process {
public:
    explicit Process(const Options& options);
    void run();

    // Set by a signal.
    static std::atomic<bool> stop;

private:
    bool resting() const;
    bool idle() const;
    void tick();
    // Do something that moves the clocks, and count what that takes.
    template <typename Work>
    void clock(Work work);
    void poll_all(int timeout_ms);
    std::string answer(const std::string& line);
    std::string read(uint32_t address);
    std::string help() const;
    std::string listen();
    std::string fault(std::istringstream& in);
    std::string status() const;

    Options options_;
    Random random_;
    Machine machine_;
    Waiting waiting_;
    Link link_;
    Root root_;
    std::vector<std::unique_ptr<Port>> ports_;
    std::vector<std::unique_ptr<Function>> functions_;
    std::vector<std::unique_ptr<Server>> servers_;
    std::unique_ptr<Flash> flash_;
    std::unique_ptr<Console> console_;
    Control control_;
    std::unordered_map<uint32_t, uint32_t> read_;  // what was found at each address
    uint64_t active_ = 0;      // cycle in which something was last under way
    uint64_t awake_until_ = 0;  // the clocks go on at least so long
    double busy_seconds_ = 0;   // of processor time, spent clocking
};

}  // namespace niter
