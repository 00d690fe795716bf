// The C interface of the Verilated device: feed words in, order words and trace records out, the register bus.
//
// `ports.h`, generated beside this file, names the model class and lists the trace ports. One call of `run` takes any
// number of frames, so that Python is not asked once a cycle. Nothing here decides anything: it moves bits.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ports.h"
#include "verilated.h"
#if TICKGATE_WAVES
#include "verilated_vcd_c.h"
#endif

// Set when the design itself stops the simulation, as models of cells do in a mode that they do not have.
static bool stopped;
void vl_stop(const char*, int, const char*) VL_MT_UNSAFE { stopped = true; }

namespace {

struct Bytes {
    uint8_t* data = nullptr;
    size_t size = 0, room = 0;
    uint8_t* grow(size_t n) {
        if (size + n > room) {
            room = (size + n) * 2 + 65536;
            data = static_cast<uint8_t*>(std::realloc(data, room));
            if (!data) std::abort();
        }
        uint8_t* at = data + size;
        size += n;
        return at;
    }
    ~Bytes() { std::free(data); }
};

// A word of a frame that left the device, as read by tickgate.sim.device.
struct OutWord {
    uint64_t cycle, data;
    uint32_t count, last, error, port;
};

// A byte that left the device with a carrier: bits 7:0, bit 8 valid, bit 9 error (sw/model/mac.py).
struct Symbol {
    uint64_t cycle;
    uint32_t symbol, unused;
};

struct Device {
    VerilatedContext context;
    Model* top;
    Bytes traces[TRACE_COUNT];
    Bytes out;
    Bytes sent;
    uint64_t cycle = 0;
    uint64_t stall_state = 0;
    uint32_t stall_share = 0;  // of 65536
    uint64_t last_activity = 0;
    uint64_t reset_cycle = 0;
#if TICKGATE_WAVES
    VerilatedVcdC* waves = nullptr;
    uint64_t wave_time = 0;
#endif

    Device() {
        context.threads(1);
#if TICKGATE_WAVES
        context.traceEverOn(true);
#endif
        top = new Model(&context);
        top->clk = 0;
        top->rst = 1;
        CLEAR_INPUTS(top);
        top->eval();
        for (int i = 0; i < 4; i++) edge();
        top->rst = 0;
        cycle = 0;
    }

    ~Device() {
#if TICKGATE_WAVES
        if (waves) { waves->close(); delete waves; }
#endif
        // A model takes its scopes out of this thread's context, which may be that of another device, gone by now.
        Verilated::threadContextp(&context);
        top->final();
        delete top;
    }

    // The design has rising edges only, so the model is told that the clock fell instead of being evaluated for it.
    inline void edge() {
        top->clk = 1;
        CLOCK_ROSE(top);
#if TICKGATE_WAVES
        if (waves) waves->dump(wave_time++);
        top->clk = 0;
        top->eval();
        if (waves) waves->dump(wave_time++);
#else
        top->clk = 0;
        CLOCK_FELL(top);
#endif
        cycle++;
    }

    inline bool stalled() {
        if (!stall_share) return false;
        stall_state = stall_state * 6364136223846793005ull + 1442695040888963407ull;
        return ((stall_state >> 40) & 0xFFFF) < stall_share;
    }

    // One clock cycle: outputs of the last edge are taken, inputs are as the caller left them. No output that is looked
    // at here depends on an input of the same cycle (the audit of the top level holds that), so the model is evaluated
    // once.
    inline void step() {
        const bool ready = !stalled();
        top->o_orders___05Fready = ready;
        top->o_telemetry___05Fready = 1;
        if (top->o_orders___05Fvalid && ready) word(top->o_orders___05Fpayload, 0);
        if (top->o_telemetry___05Fvalid) word(top->o_telemetry___05Fpayload, 1);
        top->o_control___05Fready = 1;
        if (top->o_control___05Fvalid) word(top->o_control___05Fpayload, 2);
#if TICKGATE_GMII
        if (top->gmii_tx___05Fvalid) {
            *reinterpret_cast<Symbol*>(sent.grow(sizeof(Symbol))) =
                Symbol{cycle, top->gmii_tx___05Fdata | 1u << 8 | static_cast<uint32_t>(top->gmii_tx___05Ferror) << 9, 0};
            last_activity = cycle;
        }
#endif
        SAMPLE_TRACES(top)
        edge();
    }

    template <typename T>
    inline void word(const T& payload, uint32_t port) {
        uint32_t w[3];
        std::memcpy(w, &payload, sizeof w);
        OutWord* o = reinterpret_cast<OutWord*>(out.grow(sizeof(OutWord)));
        o->cycle = cycle;
        o->data = static_cast<uint64_t>(w[1]) << 32 | w[0];
        o->count = w[2] & 15;
        o->last = w[2] >> 4 & 1;
        o->error = w[2] >> 5 & 1;
        o->port = port;
        last_activity = cycle;
    }

    template <typename T>
    inline void trace(int stage, const T& payload, size_t size) {
        std::memcpy(traces[stage].grow(size), &payload, size);
        uint64_t now;
        std::memcpy(&now, &payload, sizeof now);  // every record begins with its cycle
        reset_cycle = cycle - now;
        last_activity = cycle;
    }
};

// Puts the words of a frame into `payload`, one after the other: calls `taken` for each, and ends where that says false.
// Bits 67:64 of a word are its valid bytes, bit 68 says that it is the last one; `last_flags` are the last one's besides.
template <typename Payload, typename Taken>
inline bool put_words(Payload& payload, const uint8_t* data, int64_t length, uint32_t last_flags, Taken taken) {
    while (length > 0) {
        const uint32_t count = length > 8 ? 8 : static_cast<uint32_t>(length);
        uint64_t word = 0;
        std::memcpy(&word, data, count);
        data += count;
        length -= count;
        const uint32_t w[3] = {static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32),
                               count | (length ? 0 : 1u << 4 | last_flags)};
        std::memcpy(&payload, w, sizeof w);
        if (!taken()) return false;
    }
    return true;
}

}  // namespace

extern "C" {

Device* tg_new() { return new Device; }
void tg_free(Device* d) { delete d; }
uint64_t tg_cycle(Device* d) { return d->cycle; }
// The cycle in which the device's own count was 0, as told by its last trace record.
uint64_t tg_reset_cycle(Device* d) { return d->reset_cycle; }
void tg_stall(Device* d, uint64_t seed, uint32_t share_65536) { d->stall_state = seed; d->stall_share = share_65536; }

void tg_reset(Device* d, int cycles) {
    d->top->rst = 1;
    for (int i = 0; i < cycles; i++) d->edge();
    d->top->rst = 0;
}

void tg_step(Device* d, uint64_t cycles) {
    while (cycles--) d->step();
}

// Steps until nothing left the device for `quiet` cycles; gives the cycles used, or -1 after `limit` of them.
int64_t tg_drain(Device* d, uint64_t quiet, uint64_t limit) {
    const uint64_t began = d->cycle;
    d->last_activity = d->cycle;
    while (d->cycle - d->last_activity < quiet) {
        if (d->cycle - began >= limit) return -1;
        d->step();
    }
    return static_cast<int64_t>(d->cycle - began);
}

void tg_write(Device* d, uint32_t address, uint32_t value) {
    d->top->bus___05Faddr = address;
    d->top->bus___05Fw_data = value;
    d->top->bus___05Fw_en = 1;
    d->step();
    d->top->bus___05Fw_en = 0;
}

// Gives the value, or -1 when the bus did not answer within 64 cycles.
int64_t tg_read(Device* d, uint32_t address) {
    d->top->bus___05Faddr = address;
    d->top->bus___05Fr_en = 1;
    d->step();
    d->top->bus___05Fr_en = 0;
    for (int i = 0; i < 64; i++) {
        if (d->top->bus___05Fr_valid) return d->top->bus___05Fr_data;
        d->step();
    }
    return -1;
}

// Runs frames through feed line `line`: frame i lies at data + offsets[i], is lengths[i] bytes long, and follows `gap`
// idle cycles; `errors` (may be null) marks frames whose last word carries `error`.
void tg_run(Device* d, const uint8_t* data, const int64_t* offsets, const int64_t* lengths, const uint8_t* errors,
            int64_t frames, uint32_t gap, int line) {
    Model* top = d->top;
    auto& payload = line ? top->i_b___05Fpayload : top->i_a___05Fpayload;
    auto& valid = line ? top->i_b___05Fvalid : top->i_a___05Fvalid;
    for (int64_t i = 0; i < frames; i++) {
        valid = 1;
        put_words(payload, data + offsets[i], lengths[i], (errors && errors[i]) << 5, [d] { d->step(); return true; });
        valid = 0;
        for (uint32_t g = 0; g < gap; g++) d->step();
    }
}

#if TICKGATE_GMII
// Puts symbols on the wire of feed line A, one a cycle.
void tg_symbols(Device* d, const uint16_t* symbols, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        d->top->gmii_rx___05Fdata = symbols[i] & 0xFF;
        d->top->gmii_rx___05Fvalid = symbols[i] >> 8 & 1;
        d->top->gmii_rx___05Ferror = symbols[i] >> 9 & 1;
        d->step();
    }
    d->top->gmii_rx___05Fvalid = 0;
    d->top->gmii_rx___05Ferror = 0;
}

const uint8_t* tg_sent(Device* d, uint64_t* size) {
    *size = d->sent.size;
    return d->sent.data;
}
#endif

// Presents one SoupBinTCP segment at the inject port; gives -1 when it was not taken within `limit` cycles.
int64_t tg_inject(Device* d, const uint8_t* data, int64_t length, uint64_t limit) {
    Model* top = d->top;
    top->i_inject___05Fvalid = 1;
    const bool all = put_words(top->i_inject___05Fpayload, data, length, 0, [d, top, &limit] {
        for (;;) {
            top->eval();
            const bool taken = top->i_inject___05Fready;
            d->step();
            if (taken) return true;
            if (!limit--) return false;
        }
    });
    top->i_inject___05Fvalid = 0;
    return all ? 0 : -1;
}

// Presents one frame at the control role, one word a cycle.
void tg_control(Device* d, const uint8_t* data, int64_t length) {
    d->top->i_control___05Fvalid = 1;
    put_words(d->top->i_control___05Fpayload, data, length, 0, [d] { d->step(); return true; });
    d->top->i_control___05Fvalid = 0;
}

const uint8_t* tg_trace(Device* d, int stage, uint64_t* size) {
    *size = d->traces[stage].size;
    return d->traces[stage].data;
}
const uint8_t* tg_out(Device* d, uint64_t* size) {
    *size = d->out.size;
    return d->out.data;
}
void tg_clear(Device* d) {
    for (auto& t : d->traces) t.size = 0;
    d->out.size = 0;
    d->sent.size = 0;
}

// 1 once the design itself has stopped the simulation.
int tg_stopped(Device*) { return stopped; }

// Reads a memory of the design (number as in ports.h) as 64-bit words, lowest first; gives the words of one row.
int64_t tg_memory(Device* d, int number, uint64_t* into) { return READ_MEMORY(d->top, number, into); }

int tg_waves(Device* d, const char* path) {
#if TICKGATE_WAVES
    if (d->waves) { d->waves->close(); delete d->waves; d->waves = nullptr; }
    if (path) {
        d->waves = new VerilatedVcdC;
        d->top->trace(d->waves, 99);
        d->waves->open(path);
        return d->waves->isOpen() ? 0 : -1;
    }
    return 0;
#else
    (void)d; (void)path;
    return -2;
#endif
}

}  // extern "C"
