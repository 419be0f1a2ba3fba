#include "process.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "log.hpp"

namespace niter {

namespace {

constexpr unsigned kBurst = 64;           // cycles between two looks at the sockets
// Cycles without any sign of work until the clocks stop: more than 100 us, see ``Waiting``.
constexpr uint64_t kLinger = 8192;
constexpr uint64_t kMostListening = 20000000;

double processor_seconds() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

std::vector<std::unique_ptr<Port>> make_ports(const Options& options, Machine& machine) {
    std::vector<std::unique_ptr<Port>> ports;
    const size_t count = machine.pins().ports.size();
    if (options.wires.size() > count) fail("the card has %zu ports", count);
    for (size_t n = 0; n < count; ++n) {
        const std::string wire = n < options.wires.size() ? options.wires[n] : "none";
        std::unique_ptr<Capture> capture;
        if (n < options.captures.size() && !options.captures[n].empty())
            capture.reset(new Capture(options.captures[n], "port" + std::to_string(n)));
        ports.emplace_back(new Port(machine.pins().ports[n], Wire::open(wire), std::move(capture),
                                    machine.time_ns));
    }
    return ports;
}

}  // namespace

std::atomic<bool> Process::stop{false};

Process::Process(const Options& options)
    : options_(options),
      random_(options.seed),
      waiting_(machine_.pins().storage),
      link_(machine_.pins(), random_, options.stall),
      root_(link_, random_, options.timing, unsigned(options.functions.size())),
      ports_(make_ports(options, machine_)),
      control_(options.control, [this](const std::string& line) { return answer(line); }) {
    machine_.attach(link_, ports_);
    machine_.tick = [this] { tick(); };
    if (!options.wave.empty() &&
        !machine_.record(options.wave, options.wave_first, options.wave_count))
        fail("this model cannot write waves");
    if (!options.flash.empty()) {
        const ProcessorPins& pins = machine_.pins().processor;
        if (!pins.cs_n) fail("this card has no processor");
        // It is looked at in the middle of a bit.
        if (options.console_bit < 2) fail("--flash needs --console, of two cycles or more");
        flash_.reset(new Flash(pins, options.flash));
        console_.reset(new Console(pins, options.console_bit));
    }
    machine_.reset();
    link_.connect();
    say("the card is there, closed; seed %llu", static_cast<unsigned long long>(options.seed));
}

void Process::tick() {
    root_.tick(machine_.cycles);
    if (flash_) {
        flash_->cycle(machine_.cycles);
        console_->cycle();
    }
    if (waiting_.look() || !resting()) active_ = machine_.cycles;
}

bool Process::resting() const {
    return link_.idle() && root_.idle() &&
           std::all_of(ports_.begin(), ports_.end(), [](const auto& port) { return port->resting(); });
}

bool Process::idle() const {
    const uint64_t now = machine_.cycles;
    // What came since the last cycle counts as well: nothing else may ever come. A processor never
    // rests.
    return !flash_ && now - active_ > kLinger && now >= awake_until_ && resting() && !waiting_.any() &&
           std::all_of(ports_.begin(), ports_.end(),
                       [now](const auto& port) { return port->paused_until <= now; });
}

template <typename Work>
void Process::clock(Work work) {
    const double begin = processor_seconds();
    work();
    busy_seconds_ += processor_seconds() - begin;
}

void Process::run() {
    while (!stop) {
        if (idle()) {
            for (auto& port : ports_) port->flush();
            poll_all(-1);
            continue;
        }
        clock([this] {
            for (unsigned n = 0; n < kBurst; ++n) machine_.cycle();
        });
        poll_all(0);
    }
    for (auto& port : ports_) port->flush();
    say("stopped: %s", status().c_str());
}

void Process::poll_all(int timeout_ms) {
    std::vector<pollfd> polled;
    for (const auto& server : servers_) polled.push_back(server->wanted());
    for (const auto& port : ports_)
        polled.push_back({port->wire().fd(), short(port->wants() ? POLLIN : 0), 0});
    const size_t control = polled.size();
    control_.wanted(polled);
    if (poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
    size_t at = 0;
    // Handling a command may make servers: these were not asked for.
    for (size_t n = servers_.size(); n--; ++at) {
        if (!polled[at].revents) continue;
        servers_[at]->ready(polled[at].revents);
        active_ = machine_.cycles;
    }
    for (auto& port : ports_)
        if (polled[at++].revents & (POLLIN | POLLERR)) port->receive();
    control_.ready(polled.data() + control);
}

std::string Process::answer(const std::string& line) {
    std::istringstream in(line);
    std::string command;
    uint32_t address = 0, value = 0;
    in >> command >> std::hex;
    if (command == "read" && in >> address) return read(address);
    if (command == "status") return status();
    active_ = machine_.cycles;
    if (command == "write" && in >> address >> value) {
        clock([&] { machine_.control_write(address, value); });
        return "ok";
    }
    if (command == "fault") return fault(in);
    if (command == "listen") return listen();
    if (command == "help") return help();
    if (command == "stop") {
        stop = true;
        return "ok";
    }
    return "error: not a command: " + line;
}

std::string Process::read(uint32_t address) {
    uint32_t value = 0;
    clock([&] { value = machine_.control_read(address); });
    // A processor looks for work again and again. What is as it was when it last looked is none.
    const auto [before, first] = read_.try_emplace(address, value);
    if (first || before->second != value || !waiting_.known()) active_ = machine_.cycles;
    before->second = value;
    std::ostringstream out;
    out << "ok " << std::hex << value;
    return out.str();
}

std::string Process::help() const {
    return "read ADDRESS | write ADDRESS VALUE (hexadecimal, words of the control bus) | "
           "listen (find the functions and serve them) | status (counters as JSON) | stop | "
           "fault refuse READS | fault silence READS | fault hold CYCLES | fault stall PERCENT | "
           "fault run CYCLES (decimal; reads to refuse or not to answer, a link that stands still "
           "or pauses at random, and clocks that go on with nothing to do)";
}

std::string Process::fault(std::istringstream& in) {
    constexpr uint64_t kMostReads = 1000, kMostCycles = 100000000, kMostPercent = 90;
    std::string what;
    uint64_t count = 0;
    if (!(in >> what >> std::dec >> count)) return "error: fault WHAT COUNT";
    const bool reads = what == "refuse" || what == "silence";
    if (count > (reads ? kMostReads : what == "stall" ? kMostPercent : kMostCycles))
        return "error: too much: " + std::to_string(count);
    if (what == "refuse")
        root_.faults.refuse = uint32_t(count);
    else if (what == "silence")
        root_.faults.silence = uint32_t(count);
    else if (what == "hold")
        link_.hold(count);
    else if (what == "stall")
        link_.set_stall(double(count) / 100);
    else if (what == "run")
        awake_until_ = machine_.cycles + count;
    else
        return "error: no such fault: " + what;
    return "ok";
}

std::string Process::listen() {
    if (!servers_.empty()) return "error: the functions are served already";
    unsigned found = 0, asked = 0;
    for (unsigned n = 0; n < options_.functions.size(); ++n) {
        functions_.emplace_back(new Function(root_, n));
        functions_.back()->enumerate([&](bool good) {
            ++asked;
            found += good;
        });
    }
    const uint64_t begin = machine_.cycles;
    while (asked < functions_.size() && machine_.cycles - begin < kMostListening) machine_.cycle();
    if (found < functions_.size()) fail("only %u functions of the card answer", found);
    for (unsigned n = 0; n < functions_.size(); ++n) {
        servers_.emplace_back(new Server(root_, *functions_[n], n, options_.functions[n]));
        say("function %u waits for a host at %s", n, options_.functions[n].c_str());
    }
    return "ok";
}

std::string Process::status() const {
    std::ostringstream out;
    const Counters& pcie = root_.counters;
    out << "{\"cycles\":" << machine_.cycles << ",\"moved\":" << machine_.moved
        << ",\"seconds\":" << busy_seconds_
        << ",\"reads\":" << pcie.reads << ",\"read_bytes\":" << pcie.read_bytes
        << ",\"writes\":" << pcie.writes << ",\"written_bytes\":" << pcie.written_bytes
        << ",\"messages\":" << pcie.messages << ",\"refused\":" << pcie.refused
        << ",\"timeouts\":" << pcie.timeouts
        << ",\"violations\":" << pcie.violations + link_.overdrawn + link_.malformed << ",\"functions\":[";
    for (size_t n = 0; n < servers_.size(); ++n)
        out << (n ? "," : "") << "{\"connected\":" << (servers_[n]->connected() ? "true" : "false")
            << ",\"accesses\":" << servers_[n]->accesses << ",\"errors\":" << servers_[n]->errors
            << ",\"interrupts\":" << root_.endpoints[n].interrupts
            << ",\"kept_interrupts\":" << functions_[n]->kept_interrupts << "}";
    out << "],\"ports\":[";
    for (size_t n = 0; n < ports_.size(); ++n)
        out << (n ? "," : "") << "{\"in\":" << ports_[n]->in << ",\"out\":" << ports_[n]->out
            << ",\"bad\":" << ports_[n]->bad() << ",\"lost\":" << ports_[n]->wire().lost << "}";
    out << "]}";
    return out.str();
}

}  // namespace niter
