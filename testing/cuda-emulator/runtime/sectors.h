// What the accesses of a warp move between the chip and its memory, which comes in sectors of 32 bytes.
#pragma once
#include <cstdint>
#include <vector>

#include "emulator.h"

namespace emulator {

// The global loads and stores of a block's threads since the lanes of their warps last met.
class WarpLog {
  public:
    // The n-th access of a lane at a place in the code meets the n-th of the other lanes there.
    void note(unsigned thread, const void *site, uintptr_t address, size_t bytes, bool write) {
        if (lanes[thread].size() < LONGEST) lanes[thread].push_back({uintptr_t(site), address, uint32_t(bytes), write});
    }
    // Adds the warp's accesses to what its kernel has moved, and forgets them.
    void settle(unsigned first, const Kernel &kernel);

  private:
    struct Entry { uintptr_t site, address; uint32_t bytes; bool write; };
    static constexpr size_t LONGEST = 4096;
    std::vector<std::vector<Entry>> lanes = std::vector<std::vector<Entry>>(1024);
};

// Whether accesses are counted: of some blocks of every launch, the same each time.
extern std::atomic<bool> counting;
void count_sectors_if_asked();
bool counted(uint64_t block, uint64_t blocks);

}  // namespace emulator
