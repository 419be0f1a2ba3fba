// A verilated model behind functions that Python calls. `bind` is generated with the model.
#include <Model.h>
#include <verilated.h>

#include <cstring>
#include <map>
#include <memory>

#include "streams.hpp"

namespace niter {

struct Simulation {
    VerilatedContext context;
    std::unique_ptr<Model> model;
    std::vector<Stream> streams;
    std::map<std::string, Pin> pins;
    std::mt19937 random;
    std::string broken;
    uint64_t cycles = 0;

    bool step() {
        for (Stream& stream : streams) {
            stream.drive(random);
        }
        model->clk = 0;
        model->eval();
        bool complete = false;
        for (Stream& stream : streams) {
            complete |= stream.sample(broken);
        }
        model->clk = 1;
        model->eval();
        ++cycles;
        return complete;
    }
};

void bind(Model& model, std::vector<Stream>& streams, std::map<std::string, Pin>& pins);

}  // namespace niter

using niter::Simulation;

extern "C" {

Simulation* niter_new(uint32_t seed) {
    auto* simulation = new Simulation;
    simulation->context.randReset(0);
    simulation->model = std::make_unique<Model>(&simulation->context);
    simulation->random.seed(seed);
    niter::bind(*simulation->model, simulation->streams, simulation->pins);
    return simulation;
}

void niter_delete(Simulation* simulation) { delete simulation; }

// Runs so many cycles, or until a stream of the model's has given something whole.
uint64_t niter_run(Simulation* simulation, uint64_t cycles) {
    while (cycles-- && simulation->broken.empty()) {
        if (simulation->step()) {
            break;
        }
    }
    return simulation->cycles;
}

const char* niter_broken(Simulation* simulation) { return simulation->broken.c_str(); }

void niter_poke(Simulation* simulation, const char* name, uint64_t value) {
    niter::Pin pin = simulation->pins.at(name);
    std::memcpy(pin.at, &value, pin.size);
}

uint64_t niter_peek(Simulation* simulation, const char* name) {
    niter::Pin pin = simulation->pins.at(name);
    uint64_t value = 0;
    std::memcpy(&value, pin.at, pin.size);
    return value;
}

int niter_find(Simulation* simulation, const char* name) {
    for (size_t n = 0; n < simulation->streams.size(); ++n) {
        if (simulation->streams[n].name == name) {
            return int(n);
        }
    }
    return -1;
}

void niter_shape(Simulation* simulation, int at, unsigned data, unsigned empty, unsigned last,
                 unsigned error) {
    simulation->streams[at].layout = {true, data, empty, last, error};
}

void niter_stall(Simulation* simulation, int at, unsigned stall) {
    simulation->streams[at].stall = stall;
}

size_t niter_width(Simulation* simulation, int at) { return simulation->streams[at].width; }

void niter_put(Simulation* simulation, int at, const uint8_t* data, size_t size, int error,
               const uint8_t* base) {
    simulation->streams[at].put(data, size, error, base);
}

size_t niter_waiting(Simulation* simulation, int at) {
    niter::Stream& stream = simulation->streams[at];
    return stream.input ? stream.waiting.size() : stream.taken.size();
}

// The size of what is taken, with bit 31 if it ended in an error; there has to be something.
uint32_t niter_take(Simulation* simulation, int at, uint8_t* data, size_t room) {
    auto& taken = simulation->streams[at].taken;
    niter::Item item = std::move(taken.front());
    taken.pop_front();
    std::memcpy(data, item.data.data(), std::min(room, item.data.size()));
    return uint32_t(item.data.size()) | uint32_t(item.error) << 31;
}
}
