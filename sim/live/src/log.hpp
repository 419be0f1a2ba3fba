// What the process says: one line for each event, on standard error.
#pragma once

#include <string>

namespace niter {

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Text of errno.
std::string error_text();

// Ends the process with a message: for what makes going on impossible.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace niter
