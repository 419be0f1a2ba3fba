#include "port.hpp"

namespace niter {

namespace {

// A PAUSE frame's quanta are 512 bit times: 64 octets, so 32 core cycles (IEEE 802.3, 31B).
constexpr uint64_t kCyclesPerQuantum = 32, kCoreNs = 16;

bool is_pause(const Bytes& frame) {
    return frame.size() >= 18 && frame[12] == 0x88 && frame[13] == 0x08 && frame[15] == 1;
}

}  // namespace

Port::Port(GmiiPins pins, std::unique_ptr<Wire> wire, std::unique_ptr<Capture> capture,
           const uint64_t& now_ns)
    : pins_(pins),
      wire_(std::move(wire)),
      capture_(std::move(capture)),
      now_ns_(now_ns),
      sink_([this](Bytes frame) {
          ++out;
          if (capture_) capture_->write(frame, now_ns_, true);
          wire_->send(frame);
      }) {}

void Port::receive() {
    while (wants()) {
        auto frame = wire_->receive();
        if (!frame) return;
        ++in;
        if (capture_) capture_->write(*frame, now_ns_, false);
        if (is_pause(*frame))
            paused_until = now_ns_ / kCoreNs + kCyclesPerQuantum * ((*frame)[16] << 8 | (*frame)[17]);
        source_.put(std::move(*frame));
    }
}

bool Port::rise(bool first_of_cycle, uint64_t cycle) {
    const bool rare = first_of_cycle && cycle % kRestPeriod == 0;
    if (source_.busy() || rare) *pins_.rx_clk = 1;
    if (sink_.busy() || rare) {
        sink_.take(*pins_.tx_data, *pins_.tx_enable, *pins_.tx_error);
        *pins_.tx_clk = 1;
    }
    return *pins_.rx_clk || *pins_.tx_clk;
}

void Port::fall() {
    *pins_.tx_clk = 0;
    if (!*pins_.rx_clk) return;
    *pins_.rx_clk = 0;
    const auto octet = source_.next();
    *pins_.rx_data = octet.data;
    *pins_.rx_valid = octet.valid;
}

void Port::wake() {
    source_.wake();
    sink_.wake();
}

void Port::flush() {
    if (capture_) capture_->flush();
}

}  // namespace niter
