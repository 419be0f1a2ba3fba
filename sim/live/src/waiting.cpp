#include "waiting.hpp"

namespace niter {

bool Waiting::look() {
    if (!known()) return false;
    // An abort is acknowledged behind a completion that crosses it, and its tag is free only then.
    if (passes(pins_.ended)) open_.reset(*pins_.ended.tag);
    if (passes(pins_.aborted)) open_.reset(*pins_.aborted.tag);
    if (passes(pins_.begun)) open_.set(*pins_.begun.tag);
    const bool late = pins_.word && *pins_.word == pins_.late_word && *pins_.late;
    return late || open_.any();
}

}  // namespace niter
