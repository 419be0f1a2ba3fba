// What the command line says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "root.hpp"

namespace niter {

struct Options {
    std::string control;
    std::vector<std::string> functions, wires, captures;
    uint64_t seed = 1;
    double stall = 0;
    Timing timing;
    std::string wave;
    uint64_t wave_first = 0, wave_count = 0;
    std::string flash;
    unsigned console_bit = 0;
};

// Ends the process after --help, or where an option is wrong.
Options parse_options(int count, char** arguments);

}  // namespace niter
