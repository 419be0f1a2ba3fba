#include "options.hpp"

#include <getopt.h>

#include <cstdio>
#include <cstdlib>

#include "log.hpp"

namespace niter {

namespace {

constexpr char kHelp[] =
    "usage: niter-card [options]\n"
    "\n"
    "The verilated card. sim.live starts it; by itself it is a card that nobody has opened.\n"
    "\n"
    "  --control PATH     socket for commands (needed); 'help' on it lists them\n"
    "  --function PATH    vfio-user socket of the next function\n"
    "  --wire WIRE        of the next port: none, tap:NAME, packet:NAME, unix:PATH[,PEER],\n"
    "                     udp:HOST:PORT[,HOST:PORT]\n"
    "  --capture PATH     pcapng file of the next port; empty for none\n"
    "  --seed N           of everything that is left to chance\n"
    "  --stall P          probability that the link pauses between two beats\n"
    "  --latency N        core cycles until memory answers\n"
    "  --spread N         core cycles added to that at random\n"
    "  --split P          probability that a completion ends where it might\n"
    "  --wave PATH,FIRST,COUNT  write waves of these cycles; the model must be built for it\n"
    "  --flash PATH       content of a processor's flash: it opens the card, and the clocks never stop\n"
    "  --console N        with it: cycles of a bit of the processor's serial line\n";

double number(const char* name, const char* text, double most) {
    char* end;
    const double value = std::strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= most))
        fail("--%s is a number from 0 to %g, not '%s'", name, most, text);
    return value;
}

void wave(Options& options, const char* text) {
    const std::string all = text;
    const auto second = all.rfind(','), first = all.rfind(',', second - 1);
    if (second == std::string::npos || first == std::string::npos)
        fail("--wave is PATH,FIRST,COUNT, not '%s'", text);
    options.wave = all.substr(0, first);
    options.wave_first = std::strtoull(all.c_str() + first + 1, nullptr, 0);
    options.wave_count = std::strtoull(all.c_str() + second + 1, nullptr, 0);
}

}  // namespace

Options parse_options(int count, char** arguments) {
    static const option known[] = {
        {"control", 1, nullptr, 'c'}, {"function", 1, nullptr, 'f'}, {"wire", 1, nullptr, 'w'},
        {"capture", 1, nullptr, 'p'}, {"seed", 1, nullptr, 's'},     {"stall", 1, nullptr, 'b'},
        {"latency", 1, nullptr, 'l'}, {"spread", 1, nullptr, 'r'},   {"split", 1, nullptr, 'd'},
        {"wave", 1, nullptr, 'v'},    {"flash", 1, nullptr, 'x'},    {"console", 1, nullptr, 'o'},
        {"help", 0, nullptr, 'h'},    {nullptr, 0, nullptr, 0}};
    constexpr double kMostCycles = 1e6;
    Options options;
    for (int which; (which = getopt_long(count, arguments, "", known, nullptr)) != -1;) {
        switch (which) {
            case 'c': options.control = optarg; break;
            case 'f': options.functions.push_back(optarg); break;
            case 'w': options.wires.push_back(optarg); break;
            case 'p': options.captures.push_back(optarg); break;
            case 's': options.seed = std::strtoull(optarg, nullptr, 0); break;
            case 'b': options.stall = number("stall", optarg, 0.9); break;
            case 'l': options.timing.latency = unsigned(number("latency", optarg, kMostCycles)); break;
            case 'r': options.timing.spread = unsigned(number("spread", optarg, kMostCycles)); break;
            case 'd': options.timing.split = number("split", optarg, 1); break;
            case 'v': wave(options, optarg); break;
            case 'x': options.flash = optarg; break;
            case 'o': options.console_bit = unsigned(number("console", optarg, kMostCycles)); break;
            case 'h': std::fputs(kHelp, stdout); std::exit(0);
            default: std::exit(2);
        }
    }
    if (optind != count) fail("'%s' is not an option", arguments[optind]);
    if (options.control.empty()) fail("--control is needed");
    return options;
}

}  // namespace niter
