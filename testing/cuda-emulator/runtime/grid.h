// The blocks of a cooperative launch: each on an OS thread of its own, as many at a time as there are workers.
#pragma once
#include <condition_variable>
#include <mutex>
#include <vector>

#include "block.h"

namespace emulator {

class Grid {
  public:
    Grid(Launch &launch, Verdict &verdict);
    // A block waits here for its turn before it runs; between two barriers, they run in the order of their places.
    void begin(unsigned place);
    // Waits until every block has come. No access before it races with one after it.
    void barrier(unsigned place);
    void end();

  private:
    void leave();
    void take_turn(unsigned place, std::unique_lock<std::mutex> &guard);

    Launch &launch;
    Verdict &verdict;
    std::mutex lock;
    std::condition_variable change;
    const unsigned blocks;
    unsigned turn = 0, running = 0, waiting = 0, ended = 0;
    uint64_t barriers = 0;
};

}  // namespace emulator
