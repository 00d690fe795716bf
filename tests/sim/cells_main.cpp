// Random traffic on block RAMs of every width and multipliers, against what the data sheet says, bit by bit.
// Exit status 0: all as expected. What differs is printed.
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "Vcells.h"
// Of each block RAM: width, whether it reads before it writes, and whether A and B have a register; of each multiplier the
// enable of the register of each factor, -1 where it has none.
#include "rams.h"
#include "verilated.h"

static bool stopped = false;
void vl_stop(const char*, int, const char*) { stopped = true; }

// A RAM as bits in rows, one operation a port and cycle. `joined`: port A writes only, port B reads only.
struct Ram {
    int width;
    bool old_first, joined, registers[2];
    std::vector<std::vector<bool>> rows;
    std::vector<bool> out[2];
    std::vector<bool> held[2];
    bool known[2] = {true, true}, held_known[2] = {true, true};
    Ram(int w, bool old, bool a, bool b) : width(w), old_first(old), joined(w == 36), registers{a, b}, rows(16384 / (w < 9 ? w : w / 9 * 8)) {
        for (auto& row : rows) row.assign(w, false);
        out[0].assign(w, false);
        out[1].assign(w, false);
        held[0] = out[0];
        held[1] = out[1];
    }
};

struct Pins {
    uint64_t data, address;
    bool enable, write, out_enable;
};

int main(int argc, char** argv) {
    const uint32_t seed = argc > 1 ? std::atoi(argv[1]) : 1;
    std::mt19937_64 random(seed);
    Vcells top;
    std::vector<Ram> rams;
    for (auto& row : RAMS) rams.emplace_back(row[0], row[1], row[2], row[3]);
    std::vector<int64_t> factors[2];  // of each multiplier, in their registers
    for (auto& held : factors) held.assign(sizeof MULTIPLIERS / sizeof *MULTIPLIERS, 0);
    int wrong = 0, collisions = 0;
    for (int cycle = 0; cycle < 40000 && wrong < 10 && !stopped; cycle++) {
        Pins pins[2];
        for (auto& p : pins) {
            p.data = random();
            p.address = random() & 0x3fff;
            if (random() % 2) p.address &= 0x0067;  // few rows, so that the ports meet
            p.enable = random() % 8 != 0;
            p.write = random() % 2;
            p.out_enable = random() % 4 != 0;
        }
        // Which of two writes to one row stays is not said: the widest row has 32 addresses.
        if (pins[0].address >> 5 == pins[1].address >> 5 && pins[0].write) pins[1].write = false;
        top.clk = 0;
        top.data_a = pins[0].data; top.data_b = pins[1].data;
        top.address_a = pins[0].address; top.address_b = pins[1].address;
        top.enable_a = pins[0].enable; top.enable_b = pins[1].enable;
        top.out_enable_a = pins[0].out_enable; top.out_enable_b = pins[1].out_enable;
        top.write_a = pins[0].write; top.write_b = pins[1].write;
        top.factor_a = pins[0].data >> 20 & 0x3ffff; top.factor_b = pins[1].data >> 20 & 0x3ffff;
        top.signed_a = random() % 2; top.signed_b = random() % 2;
        top.eval();
        const int64_t a = top.signed_a && top.factor_a >> 17 ? int64_t(top.factor_a) - (1 << 18) : top.factor_a;
        const int64_t b = top.signed_b && top.factor_b >> 17 ? int64_t(top.factor_b) - (1 << 18) : top.factor_b;
        const int64_t now[2] = {a, b};
        const bool enables[2] = {pins[0].out_enable, pins[1].out_enable};
        for (size_t n = 0; n < factors[0].size(); n++) {
            int64_t taken[2];
            for (int factor = 0; factor < 2; factor++) {
                const int enable = MULTIPLIERS[n][factor];
                taken[factor] = enable < 0 ? now[factor] : factors[factor][n];
                if (enable >= 0 && enables[enable]) factors[factor][n] = now[factor];
            }
            const uint64_t want = uint64_t(taken[0] * taken[1]) & 0xfffffffffull;
            const uint64_t got = top.products[2 * n] | uint64_t(top.products[2 * n + 1]) << 32;
            if (want == got) continue;
            std::printf("cycle %d, multiplier %zu: %ld * %ld is not %lx\n", cycle, n, long(taken[0]), long(taken[1]), long(got));
            wrong++;
        }
        top.clk = 1;
        top.eval();
        for (size_t n = 0; n < rams.size(); n++) {
            Ram& ram = rams[n];
            size_t row[2];
            bool writes[2];
            for (int port = 0; port < 2; port++) {
                const int unit = ram.width < 9 ? ram.width : ram.width / 9 * 8;
                row[port] = pins[port].address / unit;
                uint64_t lanes = ram.width == 18 ? pins[port].address & 3 : ram.width == 36 ? pins[port].address & 15 : 1;
                writes[port] = pins[port].enable && pins[port].write && lanes && !(ram.joined && port == 1);
            }
            for (int port = 0; port < 2; port++) {
                if (!pins[port].out_enable) continue;
                ram.held[port] = ram.out[port];
                ram.held_known[port] = ram.known[port];
            }
            for (int port = ram.joined ? 1 : 0; port < 2; port++) {
                const bool asks = pins[port].write && !(ram.joined && port == 1);
                if (!pins[port].enable || (asks && !ram.old_first)) continue;
                ram.known[port] = !(writes[1 - port] && row[0] == row[1]);
                collisions += !ram.known[port];
                ram.out[port] = ram.rows[row[port]];
            }
            for (int port = 0; port < 2; port++) {
                if (!writes[port]) continue;
                const int lane_bits = ram.width < 9 ? ram.width : 9;
                for (int bit = 0; bit < ram.width; bit++) {
                    const bool lane = ram.width < 18 || pins[port].address >> (bit / lane_bits) & 1;
                    if (lane) ram.rows[row[port]][bit] = pins[port].data >> bit & 1;
                }
            }
            for (int port = ram.joined ? 1 : 0; port < 2; port++) {
                uint64_t got = port ? top.out_b[2 * n] | uint64_t(top.out_b[2 * n + 1]) << 32
                                    : top.out_a[2 * n] | uint64_t(top.out_a[2 * n + 1]) << 32;
                uint64_t want = 0;
                const auto& word = ram.registers[port] ? ram.held[port] : ram.out[port];
                const bool known = ram.registers[port] ? ram.held_known[port] : ram.known[port];
                for (int bit = 0; bit < ram.width; bit++) want |= uint64_t(word[bit]) << bit;
                if (known ? got != want : got == want) {
                    std::printf("cycle %d, width %d, port %c: %lx, not %lx%s\n", cycle, ram.width, 'a' + port, long(got),
                                long(want), known ? "" : " (which nobody may rely on)");
                    wrong++;
                }
            }
        }
    }
    if (!collisions) std::printf("the ports never met\n");
    if (stopped) std::printf("stopped\n");
    return wrong || !collisions || stopped;
}
