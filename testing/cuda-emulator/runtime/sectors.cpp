// Counts, for each kernel, the sectors that its warps' loads and stores need at least (their distinct bytes, packed) and
// the sectors that they touch.
#include "sectors.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "block.h"

namespace emulator {

std::atomic<bool> counting{false};

bool counted(uint64_t block, uint64_t blocks) {
    return checked && counting.load(std::memory_order_relaxed) && block % std::max<uint64_t>(1, blocks / 8) == 0;
}

namespace {
constexpr uintptr_t SECTOR = 32;
struct Traffic { uint64_t needed[2] = {}, moved[2] = {}; };  // loads, stores
std::mutex lock;
auto &traffic = *new std::map<std::string, Traffic>;
}  // namespace

void WarpLog::settle(unsigned first, const Kernel &kernel) {
    struct Access { uintptr_t site; uint32_t turn; bool write; uintptr_t from, to; };
    std::vector<Access> accesses;
    std::map<uintptr_t, uint32_t> turns;
    for (unsigned lane = first; lane < first + 32; lane++) {
        turns.clear();
        for (const Entry &e : lanes[lane]) accesses.push_back({e.site, turns[e.site]++, e.write, e.address, e.address + e.bytes});
        lanes[lane].clear();
    }
    if (accesses.empty()) return;
    std::sort(accesses.begin(), accesses.end(), [](const Access &a, const Access &b) {
        return std::tie(a.site, a.turn, a.from) < std::tie(b.site, b.turn, b.from);
    });
    Traffic mine;
    for (size_t i = 0; i < accesses.size();) {
        const Access &one = accesses[i];
        uint64_t bytes = 0, sectors = 0;
        uintptr_t covered = 0, last = 0;  // up to this address, and this sector
        for (; i < accesses.size() && accesses[i].site == one.site && accesses[i].turn == one.turn; i++) {
            const Access &a = accesses[i];
            if (a.to > covered) bytes += a.to - std::max(a.from, covered), covered = a.to;
            for (uintptr_t sector = std::max(a.from / SECTOR, last + 1); sector <= (a.to - 1) / SECTOR; sector++) sectors++, last = sector;
        }
        mine.needed[one.write] += (bytes + SECTOR - 1) / SECTOR;
        mine.moved[one.write] += sectors;
    }
    std::lock_guard guard(lock);
    Traffic &all = traffic[kernel.name];
    for (int write = 0; write < 2; write++) {
        all.needed[write] += mine.needed[write];
        all.moved[write] += mine.moved[write];
    }
}

}  // namespace emulator

using namespace emulator;

// The table for people: the share of the moved sectors that was needed.
static void write_table(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) return void(fail(INVALID_VALUE, "cannot write the table of sectors to %s", path));
    const auto percent = [](uint64_t needed, uint64_t moved) { return moved ? format("%.0f%%", 100.0 * double(needed) / double(moved)) : "-"; };
    fprintf(file, "%-32s %6s %6s\n", "kernel", "loads", "stores");
    for (const auto &[name, t] : traffic)
        fprintf(file, "%-32s %6s %6s\n", name.c_str(), percent(t.needed[0], t.moved[0]).c_str(), percent(t.needed[1], t.moved[1]).c_str());
    fclose(file);
}

void emulator::count_sectors_if_asked() {
    if (!getenv("PARTSTAD_EMULATOR_SECTORS")) return;
    counting = true;
    atexit([] { write_table(getenv("PARTSTAD_EMULATOR_SECTORS")); });
}

extern "C" [[gnu::visibility("default")]] void emulator_count_sectors() { counting = true; }

// Writes lines "kernel needed-by-loads moved-by-loads needed-by-stores moved-by-stores" and returns their length in
// bytes; no more than `room` are written.
extern "C" [[gnu::visibility("default")]] size_t emulator_sectors(char *text, size_t room) {
    std::lock_guard guard(lock);
    std::string lines;
    for (const auto &[name, t] : traffic) {
        lines += name;
        for (int write = 0; write < 2; write++) lines += " " + std::to_string(t.needed[write]) + " " + std::to_string(t.moved[write]);
        lines += "\n";
    }
    memcpy(text, lines.data(), std::min(room, lines.size()));
    return lines.size();
}
