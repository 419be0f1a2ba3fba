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
        for (auto& port : pins_.ports) *port.tx_rst = *port.rx_rst = on;
        for (auto& port : *ports_) port->wake();
        cycle();
    }
}

void Machine::cycle() {
    // The clocks are low and what is combinational has settled. A card whose parts have clocks of
    // their own is evaluated only where one rises, and after it.
    link_->sample();
    bool rises = pins_.parts.empty();
    for (const auto& part : pins_.parts) rises |= *part.clk = *part.active;
    bool steps = rises;
    moved += rises;
    *pins_.clk = rises;
    if (pins_.link_clk) {
        steps |= *pins_.link_clk;
        *pins_.link_clk = 0;
    }
    for (auto& port : *ports_) steps |= port->rise(true, cycles);
    if (steps) evaluate(0);
    if (rises) {
        *pins_.clk = 0;
        for (const auto& part : pins_.parts) *part.clk = 0;
    }
    link_->drive();
    if (pins_.link_clk) steps |= *pins_.link_clk = link_->changed();
    for (auto& port : *ports_) port->fall();
    if (steps) evaluate(1);
    // The second cycle of GMII within one of the core.
    bool second = false;
    for (auto& port : *ports_) second |= port->rise(false, cycles);
    if (second) {
        evaluate(2);
        for (auto& port : *ports_) port->fall();
        evaluate(3);
    }
    ++cycles;
    time_ns += kCoreNs;
    if (tick) tick();
}

void Machine::take_csr() {
    if (pins_.csr_clk) *pins_.csr_clk = 1;
    card_->eval();
    if (!pins_.csr_clk) return;
    *pins_.csr_clk = 0;
    card_->eval();
}

void Machine::control_write(uint32_t address, uint32_t value) {
    pins_.set_csr_address(address);
    *pins_.csr_write_data = value;
    *pins_.csr_write = 1;
    take_csr();
    cycle();
    *pins_.csr_write = 0;
    take_csr();
    pause();
    // What is set may have to cross to the ports' clocks.
    for (auto& port : *ports_) port->wake();
}

uint32_t Machine::control_read(uint32_t address) {
    pins_.set_csr_address(address);
    *pins_.csr_read = 1;
    take_csr();
    cycle();
    *pins_.csr_read = 0;
    take_csr();
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
