// One Ethernet port: GMII on the card's side, a wire on the other, a capture of what passes.
#pragma once

#include <memory>
#include <string>

#include "gmii.hpp"
#include "pcapng.hpp"
#include "pins.hpp"
#include "wire.hpp"

namespace niter {

class Port {
public:
    // ``now_ns`` is the clock that captures are stamped with.
    Port(GmiiPins pins, std::unique_ptr<Wire> wire, std::unique_ptr<Capture> capture,
         const uint64_t& now_ns);

    const Wire& wire() const { return *wire_; }
    // The card takes more frames: a wire that floods waits, and loses its own.
    bool wants() const { return source_.waiting() < kMostWaiting; }
    void receive();

    // A clock of GMII that is high in this half cycle, or not: a half that rests is clocked
    // rarely, so that it notices what comes to it. Says whether one rises.
    bool rise(bool first_of_cycle, uint64_t cycle);
    void fall();
    void wake();
    bool resting() const { return !source_.busy() && !sink_.busy(); }
    void flush();

    uint64_t in = 0, out = 0;
    uint64_t bad() const { return sink_.bad; }
    // Core cycle until which a PAUSE frame may keep the port silent.
    uint64_t paused_until = 0;

private:
    static constexpr size_t kMostWaiting = 64;
    static constexpr uint64_t kRestPeriod = 8;  // core cycles

    GmiiPins pins_;
    std::unique_ptr<Wire> wire_;
    std::unique_ptr<Capture> capture_;
    const uint64_t& now_ns_;
    GmiiSource source_;
    GmiiSink sink_;
};

}  // namespace niter
