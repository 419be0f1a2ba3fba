#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "options.hpp"
#include "process.hpp"

namespace {

void ask_to_stop(int) { niter::Process::stop = true; }

// A client has cut its memory short under a mapping.
void memory_gone(int) {
    const char text[] = "niter-sim: a host has taken away memory that it had mapped\n";
    if (write(2, text, sizeof text - 1)) {
    }
    _exit(1);
}

}  // namespace

int main(int count, char** arguments) {
    const niter::Options options = niter::parse_options(count, arguments);
    struct sigaction action {};
    action.sa_handler = ask_to_stop;  // poll returns
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    action.sa_handler = memory_gone;
    sigaction(SIGBUS, &action, nullptr);
    // A card does not outlive its launcher, however that ends.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    niter::Process process(options);
    process.run();
    return 0;
}
