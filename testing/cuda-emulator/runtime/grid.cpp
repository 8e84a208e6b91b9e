#include "grid.h"

namespace emulator {

Grid::Grid(Launch &launch, Verdict &verdict) : launch(launch), verdict(verdict), blocks(launch.grid.x * launch.grid.y * launch.grid.z) {}

void Grid::take_turn(unsigned place, std::unique_lock<std::mutex> &guard) {
    change.wait(guard, [&] { return verdict.guilty || (turn == place && running < workers()); });
    turn++;
    running++;
    change.notify_all();
}

// Has another block run, or says that none can.
void Grid::leave() {
    running--;
    if (waiting > 0 && ended > 0 && waiting + ended == blocks)
        verdict.say(LAUNCH_FAILED, format("kernel %s: %u blocks wait at a barrier of the grid, and %u have ended", launch.kernel->name, waiting, ended));
    change.notify_all();
}

void Grid::begin(unsigned place) {
    std::unique_lock guard(lock);
    take_turn(place, guard);
}

void Grid::barrier(unsigned place) {
    std::unique_lock guard(lock);
    const uint64_t mine = barriers;
    if (++waiting == blocks) {
        // No block runs: who touched what may be forgotten.
        launch.serial = next_serial();
        for (unsigned i = 0; checked && i < blocks; i++) launch.fenced[i] = 0;
        waiting = turn = 0;
        barriers++;
    }
    leave();
    change.wait(guard, [&] { return verdict.guilty || barriers != mine; });
    take_turn(place, guard);
}

void Grid::end() {
    std::unique_lock guard(lock);
    ended++;
    leave();
}

}  // namespace emulator
