#include "machine.hpp"

#include <Card.h>
#include <verilated.h>
#if VM_TRACE_FST
#include <verilated_fst_c.h>
#endif

namespace niter {

#if VM_TRACE_FST
class Machine::Waves {
public:
    Waves(Card& card, const std::string& path, uint64_t first, uint64_t count)
        : first_(first), end_(first + count) {
        card.trace(&file_, 99);
        file_.open(path.c_str());
    }
    ~Waves() { file_.close(); }
    void write(uint64_t cycle, uint64_t time) {
        if (cycle >= first_ && cycle < end_) file_.dump(time);
        if (cycle == end_) file_.flush();
    }

private:
    uint64_t first_, end_;
    VerilatedFstC file_;
};
#else
class Machine::Waves {
public:
    void write(uint64_t, uint64_t) {}
};
#endif

Machine::Machine() : context_(new VerilatedContext), card_() {
    context_->traceEverOn(VM_TRACE_FST);
    card_.reset(new Card(context_.get(), "card"));
    pins_ = bind(*card_);
    card_->eval();
}

Machine::~Machine() { card_->final(); }

void Machine::attach(Link& link, std::vector<std::unique_ptr<Port>>& ports) {
    link_ = &link;
    ports_ = &ports;
}

bool Machine::record(const std::string& path, uint64_t first, uint64_t count) {
#if VM_TRACE_FST
    waves_.reset(new Waves(*card_, path, first, count));
    return true;
#else
    (void)path, (void)first, (void)count;
    return false;
#endif
}

void Machine::evaluate(unsigned phase) {
    card_->eval();
    if (waves_) waves_->write(cycles, cycles * kCoreNs + phase * (kCoreNs / 4));
}

void Machine::reset() {
    constexpr unsigned kCycles = 16;
    for (unsigned n = 0; n < 2 * kCycles; ++n) {
        const CData on = n < kCycles;
        *pins_.rst = on;
        if (pins_.reset_clock != Pins::kNoClock) take(pins_.reset_clock);
        for (auto& port : pins_.ports) *port.tx_rst = *port.rx_rst = on;
        for (auto& port : *ports_) port->wake();
        cycle();
    }
}

void Machine::cycle() {
    // What is combinational has settled. A cycle of the core has two of GMII in it.
    link_->sample();
    if (pins_.step)
        step_parts();
    else
        step_whole();
    ++cycles;
    time_ns += kCoreNs;
    if (tick) tick();
}

void Machine::step_whole() {
    ++moved;
    *pins_.clk = 1;
    rise(true);
    evaluate(0);
    *pins_.clk = 0;
    fall();
    link_->drive();
    evaluate(1);
    if (!rise(false)) return;
    evaluate(2);
    fall();
    evaluate(3);
}

void Machine::step_parts() {
    // Where no clock rises, nothing is evaluated. What comes from the link changes with the core's
    // clocks: it stands behind registers. What comes from a port changes after its clock, and only
    // the next one takes it.
    if (pins_.flash_clock != Pins::kNoClock && *pins_.processor.cipo != flash_out_) {
        flash_out_ = *pins_.processor.cipo;
        take(pins_.flash_clock);
    }
    bool moves = false;
    for (const auto& part : pins_.parts) {
        if (!*part.active) continue;
        raise(part.clock);
        moves = true;
    }
    moved += moves;
    link_->drive();
    const bool changed = link_->changed();
    if (changed) raise(pins_.link_clock);
    if (rise(true) || moves || changed) pins_.step();
    fall();
    if (!rise(false)) return;
    pins_.step();
    fall();
}

bool Machine::rise(bool first_of_cycle) {
    bool any = false;
    for (size_t n = 0; n < ports_->size(); ++n) {
        if (!(*ports_)[n]->rise(first_of_cycle, cycles)) continue;
        any = true;
        if (!pins_.step) continue;
        if (*pins_.ports[n].tx_clk) raise(pins_.ports[n].tx_clock);
        if (*pins_.ports[n].rx_clk) raise(pins_.ports[n].rx_clock);
    }
    return any;
}

void Machine::fall() {
    for (auto& port : *ports_) port->fall();
}

void Machine::take(unsigned clock) {
    if (!pins_.step) return card_->eval();
    raise(clock);
    pins_.step();
}

void Machine::control_write(uint32_t address, uint32_t value) {
    pins_.set_csr_address(address);
    *pins_.csr_write_data = value;
    *pins_.csr_write = 1;
    take(pins_.csr_clock);
    cycle();
    *pins_.csr_write = 0;
    take(pins_.csr_clock);
    pause();
    // What is set may have to cross to the ports' clocks.
    for (auto& port : *ports_) port->wake();
}

uint32_t Machine::control_read(uint32_t address) {
    pins_.set_csr_address(address);
    *pins_.csr_read = 1;
    take(pins_.csr_clock);
    cycle();
    *pins_.csr_read = 0;
    take(pins_.csr_clock);
    for (unsigned n = 1; n < pins_.csr_latency; ++n) cycle();
    const uint32_t value = *pins_.csr_read_data;
    pause();
    return value;
}

void Machine::pause() {
    // The card's processor needs longer than this from one access to the next, and registers with
    // memories behind them count on it.
    for (unsigned n = 0; n < kBetweenAccesses; ++n) cycle();
}

}  // namespace niter
